"""The tables and figures of the SimCMF paper, our numbers beside the printed ones."""

"""Two-stream image encoders for RGB stacked with a sensor's channels: ViPT and CMX within SAM."""

"""Physics of the sensors, NumPy only: from a raw signal to the channels that a model sees."""

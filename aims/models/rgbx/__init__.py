"""Image encoders of two streams, for RGB stacked with a sensor: ViPT and CMX put into SAM."""

"""What each camera makes of a scene: one file per sensor, one function `sense` in each."""

"""One file or folder per raw dataset: each converter reads it as it was published, image by image."""

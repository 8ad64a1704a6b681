"""Objects clicked by hand, saved as a folder that `aims convert folder` reads; the page is one face of it."""

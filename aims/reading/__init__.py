"""Raw files of measurements (PNG, JPEG, TIFF, npy, npz, MATLAB) as arrays, in the dtype that they store."""

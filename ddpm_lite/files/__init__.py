"""What is written to a disk and read from it: weights, diffusers' folders, recorded runs."""

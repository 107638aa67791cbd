"""Files on disk: weights, diffusers folders, pictures, recorded runs."""

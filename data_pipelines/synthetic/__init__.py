"""Draw the embedded data: a renderer of multi-spectral vehicles, free of licences and fixed by a seed."""

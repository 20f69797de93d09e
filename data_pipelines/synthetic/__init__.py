"""The embedded data: a renderer of multi-spectral vehicles, licence-free and deterministic by seed."""

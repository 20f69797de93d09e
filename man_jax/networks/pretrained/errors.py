"""What is wrong with a file of weights."""


class WeightsError(ValueError):
    """Weights that cannot be used; the message names the file, what was found, what was wanted and the remedy."""

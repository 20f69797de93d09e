"""What is wrong with files of retrieval."""


class FeatureFileError(ValueError):
    """A file of features that cannot be used; the message names the file, what was found and the remedy."""

"""Read a pair of whole numbers from a flag, such as an image size or the range of 16-bit images."""

import re

from data_pipelines.reading.records import DataError


def number_pair(flag: str, text: str, example: str, *, least: int) -> tuple[int, int]:
    """Read the two numbers of a flag, written as in `example`; DataError if that fails or one is below `least`."""
    match = re.fullmatch(r"\(?(\d+)\s*[x,]\s*(\d+)\)?", text.strip())
    if match is None or min(int(match[1]), int(match[2])) < least:
        raise DataError(
            f"--{flag} is {text!r}; write it as in --{flag}={example}, with whole numbers of at least {least}"
        )
    return int(match[1]), int(match[2])

"""Turn names of files into text that every terminal, log and file can hold.

A name consists of bytes. Python reads bytes that are not UTF-8 as lone surrogates, which no encoding can write. A name
may also hold line ends and control characters, which would break a line in two or move the cursor.
"""

import io
import sys


def printable(text: object) -> str:
    r"""Write `text` on one line, with escapes for what cannot be shown, such as `\xb3` for a byte that is not UTF-8."""
    characters = str(text)
    return characters if characters.isprintable() else "".join(map(_shown, characters))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"  # os.fsdecode keeps a foreign byte so
    return character.encode("unicode_escape").decode("ascii")


def is_utf8(text: object) -> bool:
    """Tell whether a text can be written in UTF-8, which the libraries that store arrays need."""
    try:
        str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


def escape_on_streams() -> None:
    """Let stdout and stderr write an escape, and not fail, if their encoding lacks a character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

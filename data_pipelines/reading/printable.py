"""Names of files as text that any terminal, log and file can hold.

A name is bytes: those that are not UTF-8 reach Python as lone surrogates, which no encoding can write, and a name may
hold line ends and control characters, which would break a line in two or move the cursor.
"""

import io
import sys


def printable(text: object) -> str:
    r"""`text` on one line: what cannot be shown stands as its escape, `\xb3` for a byte that is not UTF-8."""
    characters = str(text)
    return characters if characters.isprintable() else "".join(map(_shown, characters))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"  # os.fsdecode keeps a foreign byte so
    return character.encode("unicode_escape").decode("ascii")


def is_utf8(text: object) -> bool:
    """Whether it has a form in UTF-8, which is all that the libraries take that store arrays."""
    try:
        str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


def escape_on_streams() -> None:
    """Make stdout and stderr write an escape, not fail, where their encoding lacks a character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

"""What a disk refuses, as the system and the libraries say it."""

import errno
import os
from pathlib import Path

import pytest

from data_pipelines.reading.records import DataError
from data_pipelines.session.disk import REMEDIES, DiskError, WholeAppends, refusal, replace_file, writing

WORDS = (
    lambda reason: ValueError(
        f"OUT_OF_RANGE: Error writing local file: {reason} [os_error_code='27']"
    ),  # tensorstore
    lambda reason: RuntimeError(f"write() failed: {reason}; at byte 7"),  # array_record
)


@pytest.mark.parametrize("number", REMEDIES)
@pytest.mark.parametrize("words", WORDS)
def test_a_refusal_is_known_by_its_number_and_by_its_words(number, words):
    assert refusal(OSError(number, os.strerror(number))) == number
    assert refusal(words(os.strerror(number))) == number


@pytest.mark.parametrize(
    "error", [OSError("no number"), OSError(errno.EINVAL, "no"), ValueError("3 is not 4")]
)
def test_another_error_is_left_as_it_is(error):
    with pytest.raises(type(error)) as raised, writing(Path("there")):
        raise error
    assert raised.value is error


def test_an_error_of_the_data_is_not_taken_for_one_of_the_disk():
    error = DataError(f"a.jpg: cannot be read ({os.strerror(errno.EACCES)})")
    with pytest.raises(DataError) as raised, writing(Path("there")):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("number", REMEDIES)
def test_the_line_names_the_place_the_reason_and_the_remedy(number):
    with pytest.raises(DiskError) as raised, writing(Path("runs/demo"), then="all else stays"):
        raise OSError(number, os.strerror(number))
    assert (
        str(raised.value)
        == f"runs/demo: cannot be written ({os.strerror(number)}); {REMEDIES[number]}; all else stays"
    )


def test_a_file_that_is_replaced_is_the_old_one_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "below" / "file"
    replace_file(path, b"old")

    def fail(_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        replace_file(path, b"new")
    assert [each.read_bytes() for each in path.parent.iterdir()] == [b"old"]


def test_pieces_follow_those_of_an_earlier_process(tmp_path):
    for piece in (b"one", b"two"):
        file = WholeAppends(tmp_path / "file")
        file.append(piece)
        file.close()
    assert (tmp_path / "file").read_bytes() == b"onetwo"

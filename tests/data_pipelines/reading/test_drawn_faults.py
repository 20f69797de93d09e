"""Data with faults of all kinds end in an error that names the place, or in what their owner meant, and said so."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines import prepare
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders
from tests.data_pipelines.faults_drawn import OF_FOLDERS, OF_TABLES
from tests.data_pipelines.faulty_trees import (
    DEEP_RANGE,
    SIDE,
    Fault,
    Faulty,
    sound,
    write_folders,
    write_table,
)

KINDS = {"folder": (OF_FOLDERS, write_folders), "manifest": (OF_TABLES, write_table)}
SIZE = (SIDE, SIDE)


def as_meant(raw: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of what a file holds, value by value."""
    if raw.dtype == np.uint8:
        return raw
    low, high = DEEP_RANGE
    gray = raw if raw.ndim == 3 else np.stack([raw] * 3, -1)
    scaled = [round(min(max(255 * (int(v) - low) / (high - low), 0), 255)) for v in gray.ravel()]
    return np.array(scaled, np.uint8).reshape(gray.shape)


def meant(faulty: Faulty, split: str) -> list[tuple]:
    """(pid, camid, pictures) of every triple of a split, in an order of their own."""
    return sorted(
        (triple.pid, triple.camid, np.stack([as_meant(picture.raw) for picture in triple.pictures]).tobytes())
        for triple in faulty.triples
        if triple.split == split
    )


def found(split: builders.PreparedSplit) -> list[tuple]:
    rows = zip(split.pids, split.camids, range(len(split)), strict=True)
    return sorted((int(pid), int(camid), split[i].tobytes()) for pid, camid, i in rows)


def outcome(work) -> tuple[str, str]:
    """What was printed, and the error, if any; anything but a DataError is a traceback of ours."""
    printed = io.StringIO()
    error = ""
    with contextlib.redirect_stdout(printed):
        try:
            work()
        except DataError as refusal:
            error = str(refusal)
    (printed.getvalue() + error).encode()  # what is no text cannot be written to a log
    return printed.getvalue(), error


def check(name: str, faults: Sequence[Fault], seed: int) -> None:
    rng = np.random.default_rng(seed)
    faulty = sound(rng)
    for fault in faults:
        fault.make(faulty, rng)
    with TemporaryDirectory() as folder:
        base = Path(folder)
        root = KINDS[name][1](faulty, base / "mine")
        report, refusal = outcome(lambda: prepare.report_and_prepare(name, str(root), None, SIZE, DEEP_RANGE))
        _, refused = outcome(lambda: builders.prepare_dataset(name, root, base / "out", SIZE, DEEP_RANGE))
        assert bool(refusal) == bool(refused), f"the check said {refusal!r}, the use {refused!r}"
        if refusal:
            assert faulty.fate != "accepted", refusal
            assert str(base) in refusal, f"no file is named: {refusal}"
            assert "\n" not in refusal.replace("\n  ", ""), "more lines than one a file"
            return
        assert faulty.fate != "refused", report
        assert all(word in report for word in faulty.told), report
        data = builders.prepare_dataset(name, root, base / "out", SIZE, DEEP_RANGE)
        for split in ("train", "query", "gallery"):
            assert found(getattr(data, split)) == meant(faulty, split)


@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, fault) for name in KINDS for fault in KINDS[name][0]],
    ids=lambda value: getattr(value, "name", value),
)
def test_one_fault_alone(name, fault):
    check(name, [fault], seed=0)


@pytest.mark.parametrize("name", KINDS)
def test_sound_data_are_what_they_are(name):
    check(name, [], seed=0)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=30)
@given(data=st.data())
def test_faults_together(name, data):
    faults = data.draw(st.lists(st.sampled_from(KINDS[name][0]), min_size=1, max_size=3, unique=True))
    check(name, faults, seed=data.draw(st.integers(0, 2**16)))

"""Small tables and trees with faults drawn at random: an error of one line that names the file, or the right records.

The independent readers below split names and rows by hand and share no code with the product. Where the data can be
read in two ways they give None, and the product must have refused.
"""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.reading import datasets
from data_pipelines.reading.records import SPLITS, DataError, Dataset
from tests.data_pipelines.manifests import HEADER, ROWS, write_pictures

Found = set[tuple[str, int, int, tuple[str, ...]]]


def records(dataset: Dataset) -> Found:
    return {
        (split, record.pid, record.camid, tuple(image.path.name for image in record.images))
        for split in SPLITS
        for record in dataset.splits[split]
    }


def read(name: str, path: Path) -> Found | None:
    """What the product reads, or None after an error of one line that names the place."""
    try:
        return records(datasets.read(name, path))
    except DataError as error:
        said = str(error)
    assert "\n" not in said
    assert str(path) in said
    return None


def spelt_in_one_way(numbers: list[str]) -> bool:
    return len({int(number) for number in numbers}) == len(set(numbers))


# --- tables

NUMBERS = st.sampled_from(
    ["7", "007", "7.0", " 7 ", "1.000", "1e3", "", "-1", "90", "090", "9" * 19, "1" * 20, "x"]
)
NAMES = st.sampled_from(["pid", "PID", " pid", "camid", "Camid", "camid ", "note", "scene_id", ""])


def read_table_by_hand(lines: list[list[str]]) -> Found | None:
    header = [name.strip() for name in lines[0]]
    if any(Counter(header)[name] != 1 for name in HEADER):
        return None
    found: Found = set()
    written: dict[str, list[str]] = {"pid": [], "camid": []}
    for line in lines[1:]:
        row = dict(zip(header, (cell.strip() for cell in line), strict=True))
        for column in ("pid", "camid"):
            whole, _, rest = row[column].partition(".")
            if rest.strip("0") or (whole and not whole.isdigit()) or len(whole) > 19:
                return None
            row[column] = whole
            written[column] += [whole] if whole else []
        pid = int(row["pid"]) if row["pid"] else -1
        if not row["camid"] or (pid < 0 and row["split"] != "train"):
            return None
        found.add((row["split"], pid, int(row["camid"]), tuple(Path(row[m]).name for m in "RNT")))
    return found if all(map(spelt_in_one_way, written.values())) else None


@given(
    cells=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["pid", "camid"]), NUMBERS), max_size=3),
    renamed=st.none() | st.tuples(st.sampled_from([0, 4, 5]), NAMES),
    added=st.none() | st.tuples(NAMES, NUMBERS),
)
def test_a_faulty_table_is_refused_or_read_as_by_hand(cells, renamed, added):
    lines = [list(HEADER), *map(list, ROWS)]
    for row, column, cell in cells:
        lines[1 + row][HEADER.index(column)] = cell
    if renamed:
        lines[0][renamed[0]] = renamed[1]
    if added:
        lines = [[*line, added[1] if i else added[0]] for i, line in enumerate(lines)]
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder))
        path = Path(folder) / "mine.csv"
        path.write_text("".join(",".join(line) + "\n" for line in lines))
        found = read("manifest", path)
    if found is not None:
        assert found == read_table_by_hand(lines)


# --- trees

STEMS = st.builds(
    "{}_c{}{}".format,
    st.sampled_from(["7", "007", "12", "90", "1" * 20]),
    st.sampled_from(["1", "2", "01"]),
    st.sampled_from(["", "_a", "_A", "_rgb", "_\n", "_é"]),
)
FILES = st.builds("{}{}".format, STEMS, st.sampled_from([".jpg", ".png", ".JPG", ".txt"]))
WHOLE = {
    split: {m: {f"{pid}_c{c}_whole.jpg"} for m in "RNT"}
    for split, pid, c in (("train", 5, 1), ("query", 60, 1), ("gallery", 60, 2))
}


def read_tree_by_hand(tree: dict[str, dict[str, set[str]]]) -> Found | None:
    found: Found = set()
    for split, modalities in tree.items():
        images = {
            m: [name for name in names if name.lower().endswith((".jpg", ".png"))]
            for m, names in modalities.items()
        }
        stems = set.intersection(*({name.rpartition(".")[0] for name in names} for names in images.values()))
        for stem in stems:
            same = [sorted(n for n in images[m] if n.rpartition(".")[0] == stem) for m in "RNT"]
            if max(map(len, same)) > 1 and not same[0] == same[1] == same[2]:
                return None
            pid, camera = stem.split("_")[0], stem.split("_")[1][1:]
            if len(pid) > 19:
                return None
            found |= {(split, int(pid), int(camera), triple) for triple in zip(*same, strict=True)}
    stems = [entry[3][0].split("_") for entry in found]
    one_way = spelt_in_one_way([stem[0] for stem in stems]) and spelt_in_one_way(
        [stem[1].rpartition(".")[0][1:] if "." in stem[1] else stem[1][1:] for stem in stems]
    )
    return found if one_way else None


@given(
    triples=st.lists(
        st.tuples(st.sampled_from(SPLITS), STEMS, st.tuples(*[st.sampled_from([".jpg", ".PNG"])] * 3))
    ),
    alone=st.lists(st.tuples(st.sampled_from(SPLITS), st.sampled_from("RNT"), FILES), max_size=3),
)
def test_a_faulty_tree_is_refused_or_read_as_by_hand(triples, alone):
    tree = {split: {m: set(names) for m, names in modalities.items()} for split, modalities in WHOLE.items()}
    for split, stem, suffixes in triples:
        for m, suffix in zip("RNT", suffixes, strict=True):
            tree[split][m].add(stem + suffix)
    for split, m, name in alone:
        tree[split][m].add(name)
    with tempfile.TemporaryDirectory() as folder:
        for split, modalities in tree.items():
            for m, names in modalities.items():
                (Path(folder) / split / m).mkdir(parents=True)
                for name in names:
                    (Path(folder) / split / m / name).touch()
        found = read("folder", Path(folder))
    by_hand = read_tree_by_hand(tree)
    assert found == by_hand


def test_the_readers_by_hand_read_what_is_whole():
    assert read_table_by_hand([list(HEADER), *map(list, ROWS)]) is not None
    assert len(read_tree_by_hand(WHOLE) or ()) == 3
    with pytest.raises(ValueError, match="x"):
        spelt_in_one_way(["x"])

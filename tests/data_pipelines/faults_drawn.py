"""The kinds of faults that the fuzz test draws from: of folders, of tables, and of the pictures in either."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.data_pipelines.faulty_trees import DEEP_RANGE, MODALITIES, SIDE, Fault, Faulty, Meant, Picture


def drawn(faulty: Faulty, rng: np.random.Generator, split: str | None = None) -> int:
    """The place of a drawn triple, of a split or of all."""
    places = [i for i, triple in enumerate(faulty.triples) if split in (None, triple.split)]
    return int(rng.choice(places))


def with_picture(triple: Meant, m: int, picture: Picture) -> Meant:
    pictures = list(triple.pictures)
    pictures[m] = picture
    return replace(triple, pictures=tuple(pictures))


# --- of pictures, in either layout


def thermal_in_16_bits(faulty: Faulty, rng: np.random.Generator, *, colour: bool = False, hot: bool = False):
    for i, triple in enumerate(faulty.triples):
        raw = rng.integers(*DEEP_RANGE, (SIDE, SIDE)).astype(np.uint16)
        if hot and i == 0:
            raw[0, 0] = 65535
        if colour:
            raw = np.stack([raw] * 3, -1)
        faulty.triples[i] = with_picture(triple, 2, Picture(raw))


def colour_in_16_bits(faulty, rng):
    thermal_in_16_bits(faulty, rng, colour=True)


def a_hot_pixel(faulty, rng):
    thermal_in_16_bits(faulty, rng, hot=True)
    faulty.told.append("bits")


def query_in_the_gallery(faulty, rng):
    copied = faulty.triples[drawn(faulty, rng, "query")]
    faulty.triples.append(replace(copied, split="gallery", camid=9, tail="copy"))
    faulty.told.append("copy")


def train_in_the_query(faulty, rng):
    copied = faulty.triples[drawn(faulty, rng, "train")]
    faulty.triples.append(replace(copied, split="query", pid=11, tail="copy"))
    faulty.told.append("copy")


def one_picture_for_two_modalities(faulty, rng):
    i = drawn(faulty, rng)
    faulty.triples[i] = with_picture(faulty.triples[i], 1, faulty.triples[i].pictures[0])
    faulty.told.append("one image twice")


def an_identity_of_20_digits(faulty, rng):
    del rng
    faulty.triples = [
        replace(triple, pid_text=f"{20230815123045000000 + triple.pid}") if triple.pid == 3 else triple
        for triple in faulty.triples
    ]
    faulty.worsen("refused")


def one_identity_written_in_two_ways(faulty, rng):
    i = drawn(faulty, rng)
    faulty.triples[i] = replace(faulty.triples[i], pid_text=f"00{faulty.triples[i].pid}")
    faulty.worsen("either")


def a_torn_file(faulty, rng):
    size = int(rng.integers(0, 60))

    def tear(root: Path) -> None:
        files = sorted(path for path in root.rglob("*.png") if not path.is_symlink())
        os.truncate(files[int(rng.integers(len(files)))], size)

    faulty.afterwards.append(tear)
    faulty.worsen("refused")


# --- of folders


def suffixes_by_modality(faulty, rng):
    suffix = str(rng.choice([".bmp", ".tif", ".PNG", ".webp"]))
    m = int(rng.integers(3))
    # WebP would lose; all these keep every value.
    suffix = ".TIFF" if suffix == ".webp" else suffix
    faulty.triples = [
        with_picture(t, m, replace(t.pictures[m], suffix=suffix))
        if t.pictures[m].raw.dtype == np.uint8
        else t
        for t in faulty.triples
    ]


def an_orphan(faulty, rng):
    name = f"{rng.choice([3, 11])}_c1_orphan"
    split = "train" if name.startswith("3") else "query"
    lone = str(rng.choice(MODALITIES))

    def add(root: Path) -> None:
        some = next((root / split / lone).glob("*.*"))
        shutil.copy(some, root / split / lone / f"{name}{some.suffix}")

    faulty.afterwards.append(add)
    faulty.told.append("orphan")


def a_name_that_is_not_utf8(faulty, rng):
    split = str(rng.choice(["train", "query", "gallery"]))

    def add(root: Path) -> None:
        folder = root / split / "R"
        some = next(folder.glob("*.*"))
        shutil.copy(some, os.fsdecode(os.fsencode(folder) + b"/" + "3_c1_车.png".encode("gbk")))

    faulty.afterwards.append(add)
    faulty.told.append("3_c1_")


def a_name_with_a_new_line(faulty, rng):
    i = drawn(faulty, rng)
    faulty.triples[i] = replace(faulty.triples[i], tail="a\nb")
    faulty.worsen("either")


def a_name_without_an_identity(faulty, rng):
    split = str(rng.choice(["train", "query", "gallery"]))

    def rename(root: Path) -> None:
        name = sorted((root / split / "R").glob("*.*"))[0].stem
        for m in MODALITIES:
            for path in (root / split / m).glob(f"{name}.*"):
                path.rename(path.with_name(f"frame{path.suffix}"))

    faulty.afterwards.append(rename)
    faulty.worsen("refused")


def two_files_of_a_stem(faulty, rng):
    m = str(rng.choice(MODALITIES))

    def add(root: Path) -> None:
        some = sorted((root / "train" / m).glob("*.*"))[0]
        shutil.copy(some, some.with_suffix(".jpg"))

    faulty.afterwards.append(add)
    faulty.worsen("either")
    faulty.told.append(".jpg")


def no_folder_of_a_modality(faulty, rng):
    split = str(rng.choice(["train", "query", "gallery"]))
    faulty.afterwards.append(lambda root: shutil.rmtree(root / split / "N"))
    faulty.worsen("refused")


# --- of tables


def a_column_twice(faulty, rng):
    column = str(rng.choice(faulty.header))
    faulty.header.append(str(rng.choice([column, column.upper(), column.lower(), f" {column} "])))
    faulty.worsen("refused")


def a_column_that_nobody_reads(faulty, rng):
    del rng
    faulty.header.append("colour")
    faulty.told.append("colour")


def whole_numbers_as_fractions(faulty, rng):
    i = drawn(faulty, rng)
    faulty.cells[i, "pid"] = f"{faulty.triples[i].pid}.0"
    faulty.worsen("either")


def a_number_that_is_none(faulty, rng):
    column = str(rng.choice(["pid", "camid"]))
    text = str(rng.choice(["1e3", "-5", "x7", "3.5", "1,000", "0x1f", "½", "nan", "9" * 25]))
    faulty.cells[drawn(faulty, rng), column] = text
    faulty.worsen("refused")


def a_split_that_is_none(faulty, rng):
    faulty.cells[drawn(faulty, rng), "split"] = str(rng.choice(["Train", "test", "", "val"]))
    faulty.worsen("refused")


def a_path_in_two_rows(faulty, rng):
    i = drawn(faulty, rng, "gallery")
    j = next(j for j, t in enumerate(faulty.triples) if t.split == "gallery" and j != i)
    other = faulty.triples[j]
    path = f"files/gallery_{other.stem()}_R{other.pictures[0].suffix}"
    faulty.cells[i, "R"] = str(rng.choice([path, f"./{path}", f"files/../{path}"]))
    faulty.worsen("refused")


def a_file_that_is_missing(faulty, rng):
    faulty.cells[drawn(faulty, rng), "T"] = "files/nowhere.png"
    faulty.worsen("refused")


def a_byte_order_mark(faulty, rng):
    del rng
    faulty.encoding = "utf-8-sig"


def another_encoding(faulty, rng):
    del rng
    faulty.encoding = "utf-16"
    faulty.worsen("refused")


def semicolons(faulty, rng):
    del rng
    faulty.delimiter = ";"
    faulty.worsen("either")


IN_PICTURES = (
    thermal_in_16_bits,
    colour_in_16_bits,
    a_hot_pixel,
    query_in_the_gallery,
    train_in_the_query,
    one_picture_for_two_modalities,
    an_identity_of_20_digits,
    one_identity_written_in_two_ways,
    a_torn_file,
)
OF_FOLDERS = tuple(
    Fault(make.__name__, make)
    for make in (
        *IN_PICTURES,
        suffixes_by_modality,
        an_orphan,
        a_name_that_is_not_utf8,
        a_name_with_a_new_line,
        a_name_without_an_identity,
        two_files_of_a_stem,
        no_folder_of_a_modality,
    )
)
OF_TABLES = tuple(
    Fault(make.__name__, make)
    for make in (
        *IN_PICTURES,
        a_column_twice,
        a_column_that_nobody_reads,
        whole_numbers_as_fractions,
        a_number_that_is_none,
        a_split_that_is_none,
        a_path_in_two_rows,
        a_file_that_is_missing,
        a_byte_order_mark,
        another_encoding,
        semicolons,
    )
)

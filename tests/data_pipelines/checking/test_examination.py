from pathlib import Path

from data_pipelines.checking.examination import count_table, count_warnings, image_warnings, name_option
from data_pipelines.checking.verification import FileReport
from data_pipelines.reading.records import Dataset, Facts, ImageRef, Record
from data_pipelines.storing.images import DEEP_RANGE

ROOT = Path("/data")
FACTS = Facts("drawn", "camid", (), "1.jpg", {"train": (3, 2), "query": (1, 1), "gallery": (2000, 7)})


def record(names: str, pid: int = 1, camid: int = 0) -> Record:
    red, near, thermal = (ImageRef(ROOT / name) for name in names.split())
    return Record((red, near, thermal), pid, camid)


def dataset(train: list[Record], query: list[Record], gallery: list[Record]) -> Dataset:
    splits = {"train": tuple(train), "query": tuple(query), "gallery": tuple(gallery)}
    return Dataset("drawn", ROOT, splits, "camid")


PLAIN = dataset([record("a b c"), record("d e f", 2)], [record("q r s", 3)], [record("g h i", 3, 4)])


def reports(**digests: str) -> list[FileReport]:
    """One a file of PLAIN, with its name as its digest unless another is given."""
    return [FileReport(ROOT / name, digest=digests.get(name, name)) for name in "abcdefqrsghi"]


def test_a_plain_data_set_needs_no_warning():
    assert image_warnings(PLAIN, reports(), DEEP_RANGE) == ()


def test_train_images_among_the_test_images_are_named():
    (warning, *others) = image_warnings(PLAIN, reports(a="g"), DEEP_RANGE)
    assert warning == "drawn: 1 files of train have the very bytes of files of query or gallery: a = g"
    assert others == ["drawn: 1 files have the very bytes of a file of another identity: a = g"]


def test_a_query_among_the_gallery_is_the_protocol_of_many_sets_where_the_rule_removes_it():
    removed = dataset([record("a b c")], [record("q r s", 3)], [record("g h i", 3), record("d e f", 3, 4)])
    assert image_warnings(removed, reports(q="g", r="h", s="i"), DEEP_RANGE) == ()


def test_a_query_among_the_gallery_that_the_rule_leaves_in_place_is_named():
    meaning, counted = image_warnings(PLAIN, reports(q="g", r="h", s="i"), DEEP_RANGE)
    assert "R1 would be measured on copies" in meaning
    assert counted == (
        "drawn: 1 of 1 queries have a copy, byte for byte, in the gallery under the same pid, which the rule 'same "
        "pid and same camid' leaves in place: q = g, r = h, s = i"
    )


def test_one_image_under_two_identities_is_named():
    (warning,) = image_warnings(PLAIN, reports(d="a"), DEEP_RANGE)
    assert warning == "drawn: 1 files have the very bytes of a file of another identity: a = d"


def test_a_modality_stored_twice_is_named():
    (warning,) = image_warnings(PLAIN, reports(b="a"), DEEP_RANGE)
    assert warning == "drawn: 1 triples hold one image twice: a = b"


def test_one_picture_of_three_modalities_is_no_double():
    whole = dataset([record("a a a")], [record("q q q", 3)], [record("g g g", 3, 4)])
    assert image_warnings(whole, [FileReport(ROOT / n, digest=n) for n in "aqg"], DEEP_RANGE) == ()


def test_one_list_for_query_and_gallery_is_no_double():
    test = [record("q r s", 3)]
    found = [FileReport(ROOT / name, digest=name) for name in "abcqrs"]
    assert image_warnings(dataset([record("a b c")], test, test), found, DEEP_RANGE) == ()


def test_conversions_are_counted_by_kind_and_named():
    found = [
        FileReport(ROOT / "a", notes=("CMYK", "transparency")),
        FileReport(ROOT / "b", notes=("CMYK",)),
        FileReport(ROOT / "c"),
    ]
    assert image_warnings(PLAIN, found, DEEP_RANGE) == (
        "drawn: 2 files: CMYK: a, b",
        "drawn: 1 files: transparency: a",
    )


def deep(*values: tuple[int, int], deep_range: tuple[int, int] = DEEP_RANGE) -> str:
    (warning,) = image_warnings(PLAIN, [FileReport(ROOT / "a", deep_values=v) for v in values], deep_range)
    return warning


def test_scaled_images_are_counted_with_their_values():
    assert deep((0, 60000), (3, 9)) == (
        "drawn: 2 files of more than 8 bits hold values from 0 to 60000, scaled from 0 … 65535 to 0 … 255"
    )


def test_a_range_much_wider_than_the_values_is_answered_with_a_better_one():
    assert deep((28000, 30000), (27500, 29000)).endswith(
        "; deep_range=27500,30000 would tell them apart better"
    )


def test_values_outside_the_range_are_said_to_be_cut():
    assert deep((900, 1500), deep_range=(1000, 2000)).endswith("; what lies outside is cut")


def test_the_advice_on_a_range_is_given_for_the_flag_or_key_of_the_command_at_hand():
    advice = deep((28000, 30000), (27500, 29000))
    for option in ("--deep_range", "--config.data.target.deep_range"):
        assert name_option(advice, option).endswith(f"; {option}=27500,30000 would tell them apart better")


def test_nothing_but_the_advice_is_reworded():
    for text in (
        "drawn: 2 files: CMYK: a deep_range=1.png",
        "deep_range is 5, 0",
        "see x/deep_range=1,2.png",
    ):
        assert name_option(text, "--deep_range") == text


def test_of_an_unlabelled_triple_nobody_says_that_it_shows_another_identity():
    whole = dataset([record("a b c", -1)], [record("q r s", 3), record("k l m", 4)], [record("g h i", -1)])
    found = [FileReport(ROOT / name, digest={"g": "q", "k": "a"}.get(name, name)) for name in "abcqrsklmghi"]
    (warning,) = image_warnings(whole, found, DEEP_RANGE)
    assert warning == "drawn: 1 files of train have the very bytes of files of query or gallery: a = k"


def test_a_double_of_two_identities_is_named_though_an_unlabelled_triple_shows_it_first():
    whole = dataset([record("a b c", -1)], [record("q r s", 3)], [record("g h i", 4)])
    found = [FileReport(ROOT / name, digest={"a": "q", "g": "q"}.get(name, name)) for name in "abcqrsghi"]
    assert any(
        text.endswith("of another identity: g = q") or text.endswith("of another identity: q = g")
        for text in image_warnings(whole, found, DEEP_RANGE)
    )


def test_counts_other_than_the_published_ones_are_named():
    assert count_warnings(PLAIN, FACTS) == (
        "drawn: train has 2 triples of 2 identities, published are 3 of 2",
        "drawn: gallery has 1 triples of 1 identities, published are 2,000 of 7",
    )


def test_the_table_has_found_beside_published():
    rows = [line.split() for line in count_table(PLAIN, FACTS).splitlines()[1:]]
    assert rows == [
        ["train", "2", "3", "2", "2", "1"],
        ["query", "1", "1", "1", "1", "1"],
        ["gallery", "1", "2,000", "1", "7", "1"],
    ]


def test_triples_without_a_label_are_of_no_identity():
    unlabelled = dataset([record("a b c", -1)], [record("q r s", 3)], [record("g h i", 3)])
    own = Facts("drawn", "camid", (), "1.jpg", {})
    assert count_table(unlabelled, own).splitlines()[1].split() == ["train", "1", "–", "0", "–", "1"]

"""The readers of three-file layouts, each record against an independent statement of the set's rules."""

from pathlib import Path

import pytest

from data_pipelines.reading import datasets
from data_pipelines.reading.records import DataError
from tests.data_pipelines import oracle_layouts as oracle
from tests.data_pipelines.trees import MSVR310_SPLITS, TREES, write_picture, write_rgbnt100, write_triples

LAYOUTS = [
    # set, folders (train, query, gallery), identity folders?, names, rule
    ("msvr310", ("bounding_box_train", "query3", "bounding_box_test"), oracle.msvr310),
    ("msvr310", ("bounding_box_train", "query", "bounding_box_test"), oracle.msvr310),
    ("msvr310_neo", ("train", "query", "test"), oracle.msvr310_neo),
    ("wmveid863", ("train", "query", "test"), oracle.wmveid863),
    ("wmveid863", ("train", "query", "gallery"), oracle.wmveid863),
    ("rgbnt201", ("train_171", "test", "test"), oracle.rgbnt201),
    ("market1501mm", ("train", "query", "gallery"), oracle.market1501mm),
    ("market1501mm", ("bounding_box_train", "query", "bounding_box_test"), oracle.market1501mm),
]
every_layout = pytest.mark.parametrize(("tree", "folders", "rule"), LAYOUTS)
REMOVALS = {
    "msvr310": "scene",
    "wmveid863": "camid",
    "rgbnt201": "camid",
    "market1501mm": "camid",
    "rgbnt100": "camid",
}


def name_of(tree: str) -> str:
    return tree.removesuffix("_neo")


def write(base: Path, tree: str, folders: tuple[str, str, str]) -> Path:
    layout = TREES[tree]
    for split, folder in zip(("train", "query", "gallery"), folders, strict=True):
        write_triples(base / folder, layout.names[split], layout.modalities)
    return base


@every_layout
def test_every_record_is_what_the_rules_say(tmp_path, tree, folders, rule):
    base = write(tmp_path, tree, folders)
    dataset = datasets.read(name_of(tree), base)
    for split, folder in zip(("train", "query", "gallery"), folders, strict=True):
        red, near, thermal = TREES[tree].modalities
        paths = sorted(str(path) for path in (base / folder).rglob("*.jpg") if f"/{red}/" in str(path))
        expected = [
            (
                *rule(path),
                path,
                path.replace(f"/{red}/", f"/{near}/"),
                path.replace(f"/{red}/", f"/{thermal}/"),
            )
            for path in paths
            if "/-1_" not in path
        ]
        records = [(r.pid, r.camid, r.scene, *(str(i.path) for i in r.images)) for r in dataset.splits[split]]
        assert records == expected
        assert records


@every_layout
def test_an_orphan_in_the_middle_mixes_no_triple_and_is_named(tmp_path, tree, folders, rule):
    base = write(tmp_path, tree, folders)
    red, near, thermal = TREES[tree].modalities
    victim = sorted((base / folders[0]).rglob(f"{near}/*.jpg"))[1]
    victim.unlink()
    dataset = datasets.read(name_of(tree), base)
    for record in dataset.splits["train"]:
        assert len({image.path.name for image in record.images}) == 1
        assert [image.path.parent.name for image in record.images] == [red, near, thermal]
        assert record.name != victim.name or record.images[1].path.parents[1] != victim.parents[1]
        assert (record.pid, record.camid, record.scene) == rule(str(record.images[0].path))
    (warning,) = [text for text in dataset.warnings if "companion" in text]
    assert "2 files of train" in warning  # the two that were left
    assert f"{red}/{victim.name}" in warning
    assert f"{thermal}/{victim.name}" in warning


@every_layout
def test_a_parent_folder_named_like_a_modality_or_a_camera_changes_nothing(tmp_path, tree, folders, rule):
    base = write(tmp_path / "vis" / "RGB" / "run1_c2_s9_v5", tree, folders)
    for records in datasets.read(name_of(tree), base).splits.values():
        for record in records:
            assert (record.pid, record.camid, record.scene) == rule(str(record.images[0].path))
            assert all(image.path.is_file() for image in record.images)


@every_layout
def test_a_name_that_does_not_parse_is_named_beside_an_example(tmp_path, tree, folders, rule):
    del rule
    base = write(tmp_path, tree, folders)
    name = "0007/picture.jpg" if TREES[tree].by_identity else "picture.jpg"
    write_triples(base / folders[0], [name], TREES[tree].modalities)
    example = datasets.FACTS[name_of(tree)].example
    with pytest.raises(DataError, match=rf"{TREES[tree].modalities[0]}/picture\.jpg: not a.* {example}"):
        datasets.read(name_of(tree), base)


@pytest.mark.parametrize(
    ("tree", "root_name"),
    [
        *(("msvr310", name) for name in ("MSVR310", "msvr310")),
        ("msvr310_neo", "MSVR310_neo"),
        *(("wmveid863", name) for name in ("WMVEID863", "WMVeID863", "MSVwild863_neo")),
        ("rgbnt201", "RGBNT201"),
        *(
            ("market1501mm", name)
            for name in ("Market1501-MM", "market1501_to_RGBNT201_dark", "Market-1501-RGBNT", "Market-MM")
        ),
    ],
)
def test_every_known_root_name_is_found_below_its_parent(tmp_path, tree, root_name):
    folders = next(folders for name, folders, _ in LAYOUTS if name == tree)
    base = write(tmp_path / root_name, tree, folders)
    assert datasets.read(name_of(tree), tmp_path).root == base


@pytest.mark.parametrize(("name", "removal"), REMOVALS.items())
def test_every_set_has_the_removal_rule_of_its_protocol(name, removal):
    assert datasets.FACTS[name].removal == removal


@pytest.mark.parametrize(
    ("name", "published"),
    {
        "rgbnt100": [(8675, 50), (1715, 50), (8575, 50)],
        "msvr310": [(1032, 155), (591, 52), (1055, 155)],
        "wmveid863": [(3482, 603), (959, 210), (1226, 260)],
        "rgbnt201": [(3951, 171), (836, 30), (836, 30)],
        "market1501mm": [(12936, 751), (3368, 750), (15913, 751)],  # 750 identities and the distractor
    }.items(),
)
def test_every_set_knows_its_published_counts(name, published):
    counts = datasets.FACTS[name].published
    assert [counts[split] for split in ("train", "query", "gallery")] == published


def test_market_s_junk_is_left_out_and_counted_and_its_distractors_stay(tmp_path):
    base = write(tmp_path, "market1501mm", ("train", "query", "gallery"))
    dataset = datasets.read("market1501mm", base)
    assert sorted({record.pid for record in dataset.splits["gallery"]}) == [0, 3, 5]
    assert "market1501mm: gallery: 1 junk triples (identity -1) left out" in dataset.warnings


def test_rgbnt201_has_one_list_for_query_and_gallery(tmp_path):
    dataset = datasets.read("rgbnt201", write(tmp_path, "rgbnt201", ("train_171", "test", "test")))
    assert dataset.splits["query"] == dataset.splits["gallery"]


def test_msvr310_removes_by_scene_where_the_camera_would_not(tmp_path):
    # One query and one gallery triple of an identity, other views, same scene: no match is left.
    names = {
        **MSVR310_SPLITS,
        "query": ["0200/0200_s001_v0_001.jpg"],
        "gallery": ["0200/0200_s001_v3_002.jpg"],
    }
    for split, folder in {
        "train": "bounding_box_train",
        "query": "query3",
        "gallery": "bounding_box_test",
    }.items():
        write_triples(tmp_path / folder, names[split], ("vis", "ni", "th"))
    with pytest.raises(DataError, match=r"'same pid and same scene' removes every"):
        datasets.check_queries(datasets.read("msvr310", tmp_path))


def test_an_msvr310_triple_in_another_identity_s_folder_is_named(tmp_path):
    base = write(tmp_path, "msvr310", ("bounding_box_train", "query3", "bounding_box_test"))
    write_triples(base / "bounding_box_train", ["0094/0095_s001_v1_001.jpg"], ("vis", "ni", "th"))
    dataset = datasets.read("msvr310", base)
    assert 95 in {record.pid for record in dataset.splits["train"]}
    assert any("0094/vis/0095_s001_v1_001.jpg" in warning for warning in dataset.warnings)


@every_layout
def test_identities_in_both_train_and_test_are_warned_of_by_name(tmp_path, tree, folders, rule):
    base = write(tmp_path, tree, folders)
    shared = TREES[tree].names["gallery"][-1]
    write_triples(base / folders[0], [shared], TREES[tree].modalities)
    pid, *_ = rule(f"{folders[0]}/{_with_modality(shared, TREES[tree].modalities[0])}")
    (warning,) = [
        text for text in datasets.read(name_of(tree), base).warnings if "both train and test" in text
    ]
    assert warning.endswith(f"1 identities occur in both train and test: {pid}")


def _with_modality(name: str, modality: str) -> str:
    identity, slash, file_name = name.rpartition("/")
    return f"{identity}{slash}{modality}/{file_name}"


def test_the_order_does_not_follow_the_file_system(tmp_path):
    write_picture(tmp_path / "later.jpg", (0, 0, 0))  # the folder's own order is not sorted
    base = write(tmp_path, "msvr310", ("bounding_box_train", "query3", "bounding_box_test"))
    pids = [record.pid for record in datasets.read("msvr310", base).splits["train"]]
    assert pids == sorted(pids)


@pytest.mark.parametrize("name", ["0094/0094_s023_s024_v1_007.jpg", "0094/0094_s023_v1_v2_007.jpg"])
def test_an_msvr310_name_with_a_field_twice_is_refused(tmp_path, name):
    base = write(tmp_path, "msvr310", ("bounding_box_train", "query3", "bounding_box_test"))
    write_triples(base / "bounding_box_train", [name], ("vis", "ni", "th"))
    with pytest.raises(DataError, match=r"vis/0094_s.*its name has .* and .* where one number is read"):
        datasets.read("msvr310", base)


@pytest.mark.parametrize(
    ("tree", "folders", "other"),
    [
        ("wmveid863", ("train", "query", "test"), "gallery"),
        ("market1501mm", ("train", "query", "gallery"), "bounding_box_test"),
        ("market1501mm", ("train", "query", "gallery"), "bounding_box_train"),
    ],
)
def test_two_folders_that_stand_for_one_split_are_refused(tmp_path, tree, folders, other):
    base = write(tmp_path, tree, folders)
    (base / other).mkdir()
    with pytest.raises(DataError, match=rf"{base} holds both .*{other}/, which are two names of one split"):
        datasets.read(tree, base)


@pytest.mark.parametrize("name", ["-2_c0001_000.jpg", "-12_c0001_000.jpg"])
def test_a_negative_identity_that_is_no_junk_is_refused(tmp_path, name):
    base = write_rgbnt100(tmp_path, {"bounding_box_train": [name]})
    with pytest.raises(DataError, match="not an RGBNT100 name"):
        datasets.read("rgbnt100", base)


@pytest.mark.parametrize("split", ["train", "query"])
def test_distractors_of_market_are_refused_outside_of_the_gallery(tmp_path, split):
    """As a query, one would find the others, who are other persons; in train, they would be one identity."""
    tree = TREES["market1501mm"]
    for folder, names in tree.names.items():
        write_triples(tmp_path / folder, names, tree.modalities)
    datasets.read("market1501mm", tmp_path)
    write_triples(tmp_path / split, ["0000_c1s1_000777_00.jpg"], tree.modalities)
    with pytest.raises(
        DataError, match=rf"1 triples of {split} have the identity 0.*0000_c1s1_000777_00\.jpg"
    ):
        datasets.read("market1501mm", tmp_path)

"""Where triples are found whose features are wanted: any layout, a flat folder, a table, with labels or without."""

import pytest

from data_pipelines.reading.feature_places import find_layout, read_place
from data_pipelines.reading.records import DataError
from tests.data_pipelines.manifests import HEADER, ROWS, write_csv, write_pictures
from tests.data_pipelines.trees import write_picture, write_rgbnt100, write_triples, write_wmveid863


def records(dataset):
    return [record for split in ("train", "query", "gallery") for record in dataset.splits[split]]


def paths(dataset, base):
    return [[image.path.relative_to(base).as_posix() for image in each.images] for each in records(dataset)]


def flat(base, names=("a.jpg", "b.jpg"), modalities="RNT"):
    return write_triples(base, names, tuple(modalities))


# --- a flat folder


def test_files_of_one_name_in_a_flat_folder_are_triples(tmp_path):
    flat(tmp_path)
    dataset, has_splits = read_place(tmp_path)
    assert paths(dataset, tmp_path) == [["R/a.jpg", "N/a.jpg", "T/a.jpg"], ["R/b.jpg", "N/b.jpg", "T/b.jpg"]]
    assert not has_splits
    assert {(record.pid, record.camid) for record in records(dataset)} == {(-1, -1)}


def test_names_of_identity_and_camera_count_if_all_are_such_names(tmp_path):
    flat(tmp_path, ("12_c3_x.jpg", "7_c1.jpg"))
    assert [(r.pid, r.camid) for r in records(read_place(tmp_path)[0])] == [(12, 3), (7, 1)]
    write_triples(tmp_path, ("other.jpg",), tuple("RNT"))
    assert {r.pid for r in records(read_place(tmp_path)[0])} == {-1}


@pytest.mark.parametrize("modalities", ["R", "NT", "RT"])
def test_a_flat_folder_may_have_some_of_the_modalities(tmp_path, modalities):
    flat(tmp_path, modalities=modalities)
    assert read_place(tmp_path)[0].modalities == tuple(modalities)


def test_images_without_a_partner_are_named_and_nothing_is_left_out_in_silence(tmp_path):
    flat(tmp_path)
    write_picture(tmp_path / "R/only.jpg", (1, 2, 3))
    with pytest.raises(DataError, match=r"1 images lack a partner .* R/only\.jpg; add the partners"):
        read_place(tmp_path)


def test_a_partner_in_a_modality_that_is_not_used_is_not_missed(tmp_path):
    flat(tmp_path)
    (tmp_path / "T/a.jpg").unlink()
    assert len(records(read_place(tmp_path, wanted=("R", "N"))[0])) == 2
    assert len(records(read_place(tmp_path, known=("R", "N"))[0])) == 2


def test_a_folder_without_an_image_says_what_lies_there(tmp_path):
    for name in "RNT":
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"no image in R/, N/, T/.*\.gif"):
        read_place(tmp_path)


# --- the layout of a data set


def test_the_layout_of_a_data_set_is_recognised_with_its_splits(tmp_path):
    write_rgbnt100(tmp_path / "mine")
    dataset, has_splits = read_place(tmp_path / "mine")
    assert (dataset.name, has_splits) == ("rgbnt100", True)
    assert [len(dataset.splits[split]) for split in ("train", "query", "gallery")] == [3, 2, 3]
    only, _ = read_place(tmp_path / "mine", split="query", wanted=("T",))
    assert [len(records(only)), only.modalities] == [2, ("T",)]
    assert {image.box for record in records(only) for image in record.images} == {(512, 0, 768, 128)}


def test_a_layout_of_two_data_sets_is_that_of_its_name_or_of_the_likely_one_or_is_asked_for(tmp_path):
    names = ("0100/v1_n1_s001_001.jpg", "0101/v3_n1_s001_001.jpg")
    for folder in ("mine", "WMVeID863"):
        for split in ("train", "query", "test"):
            write_triples(tmp_path / folder / split, names, ("vis", "ni", "th"))
    with pytest.raises(DataError, match="layout of msvr310 and of wmveid863; say which"):
        read_place(tmp_path / "mine")
    assert read_place(tmp_path / "mine", likely="wmveid863")[0].name == "wmveid863"
    assert read_place(tmp_path / "mine", name="msvr310")[0].name == "msvr310"
    assert find_layout(tmp_path / "WMVeID863") == "wmveid863"


def test_a_triple_of_several_splits_is_taken_once(tmp_path):
    for split in ("train_171", "test"):
        write_triples(tmp_path / split, ("000258_cam1_0_00.jpg",), ("RGB", "NI", "TI"))
    dataset, _ = read_place(tmp_path)  # each test triple of RGBNT201 is a query and in the gallery
    assert len(records(dataset)) == 2
    assert len(records(read_place(tmp_path, split="gallery")[0])) == 1


def test_that_a_set_cannot_be_trained_on_is_no_matter(tmp_path):
    write_wmveid863(tmp_path / "mine")
    for path in sorted((tmp_path / "mine/train").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "mine/train").rmdir()
    assert read_place(tmp_path / "mine", name="wmveid863")[0].warnings == ()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"split": "train"}, "has no triple in the split train; choose query or gallery"),
        ({"wanted": ("N",)}, "has the modalities R, T, not N; add these images"),
        ({"known": ("N",)}, "has the modalities R, T, and none of N"),
    ],
)
def test_what_a_set_lacks_is_named_with_what_it_has(tmp_path, keywords, message):
    for split in ("query", "gallery"):
        write_triples(tmp_path / split, ("1_c1.jpg",), ("R", "T"))
    with pytest.raises(DataError) as caught:
        read_place(tmp_path, **keywords)
    assert message in str(caught.value)


def test_a_split_of_what_has_none_is_refused(tmp_path):
    flat(tmp_path)
    with pytest.raises(DataError, match="has no splits, and query is asked for"):
        read_place(tmp_path, split="query")


def test_a_folder_of_anything_else_is_answered_with_what_can_be_given(tmp_path):
    write_picture(tmp_path / "r/a.jpg", (1, 2, 3))
    with pytest.raises(DataError) as caught:
        read_place(tmp_path)
    for words in ("holds no triples that are found: r/", "R/, N/, T/", "rgbnt100", "Is r/ meant to be R/?"):
        assert words in str(caught.value)
    with pytest.raises(DataError, match="does not exist"):
        read_place(tmp_path / "nowhere")


# --- a table


@pytest.mark.parametrize("header", [("R", "N", "T"), ("T", "R", "N")])
def test_a_table_of_paths_alone_is_enough(tmp_path, header):
    places = [HEADER.index(name) for name in header]
    path = write_csv(tmp_path, header, [[row[place] for place in places] for row in ROWS])
    dataset, has_splits = read_place(path)
    assert paths(dataset, tmp_path)[2] == ["r/3.jpg", "n/3.jpg", "t/3.jpg"]
    assert {(record.pid, record.camid) for record in records(dataset)} == {(-1, -1)}
    assert not has_splits


def test_numbers_and_splits_of_a_table_are_read_where_they_are(tmp_path):
    rows = [*ROWS[2:], ("gallery", "r/3.jpg", "n/3.jpg", "t/3.jpg", "", "")]
    dataset, has_splits = read_place(write_csv(tmp_path, rows=rows))
    assert [(record.pid, record.camid) for record in records(dataset)] == [(90, 1), (90, 2)]
    assert has_splits
    gallery, _ = read_place(tmp_path / "mine.csv", split="gallery")
    assert [(record.pid, record.camid) for record in records(gallery)] == [(90, 2), (-1, -1)]


def test_a_table_may_hold_one_split_only_and_a_folder_is_read_by_its_manifest(tmp_path):
    path = write_csv(tmp_path, rows=ROWS[3:])
    path.rename(tmp_path / "manifest.csv")
    assert len(records(read_place(tmp_path)[0])) == 1
    assert find_layout(tmp_path) == "manifest"


def test_files_of_modalities_that_are_not_used_need_not_be_there(tmp_path):
    path = write_csv(tmp_path)
    (tmp_path / "t/2.jpg").unlink()
    assert len(records(read_place(path, wanted=("R", "N"))[0])) == 4
    with pytest.raises(DataError, match=r"1 files do not exist: row 3: t/2\.jpg"):
        read_place(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("R;N;T\nr/1.jpg;n/1.jpg;t/1.jpg\n", "separated by semicolons"),
        ("rgb,nir,thermal\nr/1.jpg,n/1.jpg,t/1.jpg\n", "no path in any of the columns R, N, T"),
        ("r,n,t\nr/1.jpg,n/1.jpg,t/1.jpg\n", "write 'R'"),
        ("R,N,T\n", "no row below the header"),
        ("R,N,T\nr/1.jpg,,t/1.jpg\nr/2.jpg,n/2.jpg,t/2.jpg\n", "row 2: no path in N"),
        ("R,N,T,split\nr/1.jpg,n/1.jpg,t/1.jpg,test\n", "split is 'test'"),
        ("R,N,T,pid\nr/1.jpg,n/1.jpg,t/1.jpg,x\n", "pid is 'x'"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_its_row(tmp_path, text, message):
    write_pictures(tmp_path)
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_place(tmp_path / "mine.csv")
    assert message in str(caught.value)


def test_a_column_that_is_wanted_and_empty_is_named(tmp_path):
    path = write_csv(tmp_path, ("R",), [[row[1]] for row in ROWS])
    with pytest.raises(DataError, match="no path in the column T; fill it, or ask for R"):
        read_place(path, wanted=("R", "T"))

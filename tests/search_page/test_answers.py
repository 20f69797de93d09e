"""What the page is told about queries, matches, images and uploads."""

import base64
import builtins
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from man_jax.search_page import answers
from man_jax.search_page.answers import Answers, RefusedError
from tests.search_page.pages import drawn_files, drawn_page


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return drawn_files(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def page(files):
    return Answers(drawn_page(*files))


def payload(files, *, k=3, **changed):
    gallery, _ = files
    images = {
        letter: {"name": f"{letter}.png", "content": base64.b64encode(Path(path).read_bytes()).decode()}
        for letter, path in zip("RN", gallery.paths[4], strict=True)
    }
    return {"k": k, "images": images | changed}


def test_the_page_is_told_what_is_searched(page):
    about = page.about()
    assert (about["modalities"], about["k"], about["uploads"]) == (["R", "N"], 5, True)
    assert about["k"] in about["choices"]


def test_queries_are_listed_in_parts(page, monkeypatch):
    monkeypatch.setattr(answers, "PAGE_OF_QUERIES", 3)
    first, rest = page.queries(text="", start=0), page.queries(text="", start=3)
    assert [entry["row"] for entry in first["queries"] + rest["queries"]] == [0, 1, 2, 3]
    assert first["total"] == rest["total"] == 4


@pytest.mark.parametrize(
    ("text", "rows"),
    [("2_C1", [1]), ("pid 9", [2]), (" PID 1 ", [0]), ("nothing", []), ("pid x", []), ("", [0, 1, 2, 3])],
)
def test_queries_are_found_by_a_part_of_their_name_or_by_their_pid(page, text, rows):
    assert [entry["row"] for entry in page.queries(text=text, start=0)["queries"]] == rows


def test_matches_are_the_nearest_triples_with_what_is_known_of_them(page):
    found = page.matches(source="query", row=0, k=3)
    assert (found["query"]["name"], found["query"]["pid"]) == ("1_c0_0.png", 1)
    assert [match["right"] for match in found["matches"]] == [True, True, False]
    distances = [match["distance"] for match in found["matches"]]
    assert distances == sorted(distances)
    row = found["matches"][0]["row"]
    assert found["matches"][0]["images"] == [f"/image/gallery/{row}/R", f"/image/gallery/{row}/N"]


def test_matches_of_an_unknown_pid_are_neither_right_nor_wrong(page):
    assert {match["right"] for match in page.matches(source="query", row=3, k=3)["matches"]} == {None}


def test_a_triple_of_the_gallery_can_be_the_query_and_does_not_find_itself(page):
    found = page.matches(source="gallery", row=6, k=3)["matches"]
    assert found[0]["row"] == 7
    assert 6 not in [match["row"] for match in found]


@pytest.mark.parametrize(("place", "letter"), [(0, "R"), (1, "N")])
def test_an_image_is_that_of_the_modality(page, place, letter):
    with Image.open(io.BytesIO(page.image(source="gallery", row=2, modality="RN"[place]))) as image:
        assert (image.format, image.size) == ("JPEG", (40, 20))
        assert image.getpixel((5, 5))[2] == pytest.approx(ord(letter), abs=3)


def test_an_image_that_is_gone_is_not_found(files, tmp_path):
    gallery, query = files
    lost = gallery._replace(paths=[(str(tmp_path / "lost.png"), ""), *gallery.paths[1:]])
    for modality, message in (("R", "lost.png"), ("N", "no image of the modality N")):
        with pytest.raises(RefusedError, match=message) as caught:
            Answers(drawn_page(lost, query)).image(source="gallery", row=0, modality=modality)
        assert caught.value.status == 404


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"source": "elsewhere", "row": 0, "k": 3}, "no list elsewhere"),
        ({"source": "query", "row": 4, "k": 3}, "no triple 4; the last is 3"),
        ({"source": "query", "row": 0, "k": 0}, "k must be from 1 to 100"),
        ({"source": "query", "row": 0, "k": 101}, "k must be from 1 to 100"),
    ],
)
def test_a_question_without_an_answer_is_refused(page, question, message):
    with pytest.raises(RefusedError, match=message):
        page.matches(**question)


def test_uploaded_pictures_are_searched_and_shown_again(page, files):
    found = page.upload(payload(files))
    assert [match["row"] for match in found["matches"]][:2] == [4, 5]
    assert (found["query"]["name"], found["query"]["row"]) == ("R.png, N.png", None)
    assert all(image.startswith("data:image/jpeg;base64,") for image in found["query"]["images"])
    assert {match["right"] for match in found["matches"]} == {None}


def test_the_network_gets_the_pictures_in_the_order_of_the_modalities(files):
    seen = []

    def extract(pictures):
        seen.extend(np.asarray(picture)[0, 0, 2] for picture in pictures)
        return files[0].features[:1]

    given = payload(files)
    given["images"] = dict(reversed(given["images"].items()))
    Answers(drawn_page(*files, extract=extract)).upload(given)
    assert seen == [ord("R"), ord("N")]


def test_nothing_of_an_upload_reaches_the_disk(page, files, tmp_path, monkeypatch):
    written = []

    def watched(original):
        def opened(file, mode="r", *rest, **others):
            written.extend([file] if set(mode) & set("wax+") else [])
            return original(file, mode, *rest, **others)

        return opened

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builtins, "open", watched(builtins.open))
    monkeypatch.setattr(io, "open", watched(io.open))
    monkeypatch.setattr(Path, "write_bytes", lambda path, _: written.append(path))
    page.upload(payload(files))
    assert written == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"N": {"name": "n.png", "content": base64.b64encode(b"no picture").decode()}},
            "n.png: cannot be read",
        ),
        ({"N": {"name": "n.png", "content": "%%%"}}, "did not arrive whole"),
        ({"N": "n.png"}, "did not arrive whole"),
        ({"T": {"name": "t.png", "content": ""}}, "one picture for each of the modalities R, N"),
    ],
)
def test_an_upload_that_is_not_whole_is_refused(page, files, change, message):
    with pytest.raises(RefusedError, match=message) as caught:
        page.upload(payload(files, **change))
    assert caught.value.status == 400


@pytest.mark.parametrize("sent", [None, [], {}, {"images": None}, {"images": {"R": {}}}])
def test_an_upload_of_another_form_is_refused(page, sent):
    with pytest.raises(RefusedError, match="one picture for each"):
        page.upload(sent)


@pytest.mark.parametrize("k", [None, "3", True, 2.5])
def test_a_number_of_matches_that_is_no_number_is_refused(page, files, k):
    with pytest.raises(RefusedError, match="k must be a whole number"):
        page.upload(payload(files, k=k))


def test_without_a_network_an_upload_is_refused(files):
    with pytest.raises(RefusedError, match="start it with --run") as caught:
        Answers(drawn_page(*files, extract=None)).upload(payload(files))
    assert caught.value.status == 403

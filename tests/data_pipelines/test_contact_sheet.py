import base64
import io
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.contact_sheet.content import describe
from data_pipelines.contact_sheet.page import write_page
from data_pipelines.reading.readers import folder, wmveid863
from data_pipelines.reading.records import DataError
from data_pipelines.storing import builders
from tests.data_pipelines.trees import MODALITY_COLOURS, write_picture, write_triples, write_wmveid863
from tests.engine.splits import new_dataset, new_split

SIZE = (24, 16)


class Page(HTMLParser):
    """The texts and the images of a page, in order."""

    def __init__(self, html: str):
        super().__init__()
        self.texts, self.images = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            _, _, data = (dict(attrs)["src"] or "").partition("base64,")
            self.images.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))

    def handle_data(self, data):
        if data.strip():
            self.texts.append(" ".join(data.split()))


@pytest.fixture
def prepared(tmp_path) -> Path:
    tree = write_wmveid863(tmp_path / "source")
    return builders.prepare(wmveid863.read(tree), tmp_path / "out", image_size=SIZE)


def draw(prepared: Path, out: Path, **choice) -> Page:
    write_page(prepared, out, **{"triples": 2, "identities": 5, "seed": 0, **choice})
    return Page(out.read_text(encoding="utf-8"))


def test_a_set_without_near_infrared_has_strips_of_two(tmp_path):
    for split in ("train", "query", "gallery"):
        write_triples(tmp_path / split, ["1_c1.jpg", "1_c2.jpg"], ("R", "T"))
    prepared = builders.prepare(folder.read(tmp_path), tmp_path / "out", image_size=SIZE)
    page = draw(prepared, tmp_path / "sheet.html")
    assert any("Every strip is RGB, thermal." in text for text in page.texts)
    assert {image.shape for image in page.images} == {(24, 2 * 16 + 2, 3)}


def test_a_strip_is_rgb_near_infrared_thermal_from_left_to_right(prepared, tmp_path):
    page = draw(prepared, tmp_path / "sheet.html")
    assert page.images
    for image in page.images:
        assert image.shape == (24, 3 * 16 + 4, 3)
        for place, colour in zip((8, 26, 44), MODALITY_COLOURS, strict=True):
            np.testing.assert_allclose(image[12, place], colour, atol=12)  # JPEG


def test_names_from_the_disk_cannot_become_markup(tmp_path):
    tree = write_wmveid863(tmp_path / "source")
    for modality in ("vis", "ni", "th"):
        write_picture(tree / "train/0012" / modality / "v2_<script>alert(1)<&.jpg", (1, 2, 3))
    prepared = builders.prepare(wmveid863.read(tree), tmp_path / "out", image_size=SIZE)
    page = draw(prepared, tmp_path / "sheet.html", triples=10)
    assert "<script" not in (tmp_path / "sheet.html").read_text()
    assert "v2_<script>alert(1)<&.jpg" in page.texts


def test_the_same_seed_draws_the_same_bytes_and_another_another_choice(tmp_path):
    tree = write_wmveid863(tmp_path / "source", {"train": [f"{i:04d}/v1_n1_s1_{i}.jpg" for i in range(20)]})
    prepared = builders.prepare(wmveid863.read(tree), tmp_path / "out", image_size=SIZE)
    pages = []
    for seed in (0, 0, 1):
        draw(prepared, tmp_path / "sheet.html", seed=seed)
        pages.append((tmp_path / "sheet.html").read_text().replace(f"seed {seed}", ""))
    assert pages[0] == pages[1]
    assert pages[0] != pages[2]


def test_the_folder_above_will_do_if_it_holds_one_set(prepared, tmp_path):
    folder = prepared.parents[2]
    assert draw(folder, tmp_path / "sheet.html").texts[0].startswith("wmveid863")
    builders.prepare(wmveid863.read(tmp_path / "source"), tmp_path / "out", image_size=(9, 9))
    with pytest.raises(DataError, match=r"expected one prepared data set in or below it, found .*24x16.*9x9"):
        draw(folder, tmp_path / "sheet.html")


def test_a_folder_without_a_set_is_named(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}: expected one prepared data set .* found none"):
        draw(tmp_path, tmp_path / "sheet.html")


def test_what_the_verification_warned_of_is_on_the_page(tmp_path):
    tree = write_wmveid863(tmp_path / "source")
    Image.new("CMYK", (20, 20)).save(tree / "train/0007/vis/v1_n1_s001_001.jpg")
    prepared = builders.prepare(wmveid863.read(tree), tmp_path / "out", image_size=SIZE)
    assert any("1 files: CMYK" in text for text in draw(prepared, tmp_path / "sheet.html").texts)


def test_without_jinja2_the_package_is_named(prepared, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(DataError, match=r"needs jinja2; pip install jinja2"):
        draw(prepared, tmp_path / "sheet.html")


# --- the content

PIDS = [5, 5, 5, 9, 9, 7, -1, 5]
CAMIDS = [0, 0, 2, 2, 2, 0, 3, 4]


def content(pids=PIDS, camids=CAMIDS, **choice):
    split = new_split(pids, camids=camids)
    settings = {"triples": 3, "identities": 10, "seed": 0, **choice}
    return describe(new_dataset(split, split, split), **settings)[0]


def test_counts_are_those_of_the_table():
    found = content()
    assert found.figures["triples"] == "8"
    assert found.figures["identities"] == "3"
    assert found.figures["without identity"] == "1"
    assert found.figures["triples an identity"] == "1 to 4, median 2"
    assert found.figures["cameras an identity"] == "1 to 3, median 1"
    assert {row.label: row.count for row in found.cameras} == {"0": 3, "2": 3, "3": 1, "4": 1}


def test_an_identity_s_cell_counts_its_triples_under_the_camera():
    counts = Counter(zip(PIDS, CAMIDS, strict=True))
    found = content()
    assert [pid for pid, _ in found.rows] == [5, 7, 9]
    for pid, cells in found.rows:
        for camid, (count, strip) in zip(found.columns, cells, strict=True):
            assert count == counts[pid, camid]
            assert (strip is None) == (count == 0)
            assert strip is None or f"pid {pid}, camid {camid}" in strip.caption


@pytest.mark.parametrize("most", [1, 11, 12, 13, 24, 25, 60])
def test_the_steps_of_the_histogram_hold_every_identity_once(most):
    pids = [pid for pid in range(1, most + 1) for _ in range(pid)]
    found = content(pids, [0] * len(pids))
    assert len(found.sizes) <= 12
    assert sum(row.count for row in found.sizes) == most


def test_a_small_split_shows_all_it_has():
    assert len(content(triples=100).strips) == len(PIDS)


def test_a_split_without_identities_has_no_rows():
    found = content([-1, -1], [0, 0])
    assert found.rows == found.sizes == []

"""The embedded data: what is drawn depends on what it should, and what is written can be trusted."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from data_pipelines.reading.readers import rgbnt100, wmveid863
from data_pipelines.reading.records import DataError
from data_pipelines.storing.images import read_triple
from data_pipelines.synthetic import writer
from data_pipelines.synthetic.domains import DOMAINS, RGBNT100, WMVEID863
from data_pipelines.synthetic.identities import identity
from data_pipelines.synthetic.layouts import files, plan
from data_pipelines.synthetic.renderer import Shot, render
from data_pipelines.synthetic.triples import cameras_of, images, shot
from tests.data_pipelines.trees import MODALITY_COLOURS
from tests.quick_programs import QUICK

SIZE = {"height": 16, "width": 32}
SMALL = {"seed": 3, "identities": 3, "test_identities": 2, "triples": 4, **SIZE}
"""Every rendering of this file is a batch of eight of this size, so that there is one compilation."""
BATCH = writer.BATCH


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic")
    for domain in DOMAINS.values():
        assert writer.write_domain(domain, out, **SMALL)
    return out


def drawn(*shots: Shot) -> np.ndarray:
    """Images [len(shots), 3, H, W, 3] as integers, through one batch of eight."""
    padded = [*shots, *[shots[-1]] * (BATCH - len(shots))]
    return images(padded, **SIZE)[: len(shots)].astype(int)


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", DOMAINS)
def test_same_seed_writes_same_bytes(tree: Path, tmp_path: Path, name: str):
    writer.write_domain(DOMAINS[name], tmp_path, **SMALL)

    assert bytes_below(tmp_path / name) == bytes_below(tree / name)


def test_another_seed_draws_other_pictures():
    one, other = drawn(shot(RGBNT100, 0, 0, 0, 0), shot(RGBNT100, 1, 0, 0, 0))

    assert np.abs(one - other).mean() > 5


def test_rgbnt100_names_tell_identity_and_camera(tree: Path):
    for folder, pids in (("bounding_box_train", {1, 2, 3}), ("query", {4, 5}), ("bounding_box_test", {4, 5})):
        paths = list((tree / "RGBNT100/rgbir" / folder).iterdir())
        fields = [re.fullmatch(r"(\d{4})_c(\d{4})_(\d{3})\.jpg", path.name) for path in paths]
        assert {int(match[1]) for match in fields if match} == pids
        assert {int(match[2]) for match in fields if match} <= set(range(1, len(RGBNT100.cameras) + 1))
        assert all(fields)


def test_rgbnt100_pictures_hold_three_crops_side_by_side(tree: Path):
    path = next((tree / "RGBNT100/rgbir/query").iterdir())

    with Image.open(path) as picture:
        assert picture.size == (3 * SIZE["width"], SIZE["height"])


def test_wmveid863_modalities_hold_the_same_names(tree: Path):
    for person in (tree / "WMVeID863").glob("*/*"):
        names = [{path.name for path in (person / modality).iterdir()} for modality in ("vis", "ni", "th")]
        assert names[0] == names[1] == names[2]
        assert re.fullmatch(r"\d{4}", person.name)
        assert all(re.fullmatch(r"v[0-7]_n1_s999_\d{3}\.jpg", name) for name in names[0])


@pytest.mark.parametrize(
    ("query", "gallery"),
    [("RGBNT100/rgbir/query", "RGBNT100/rgbir/bounding_box_test"), ("WMVeID863/query", "WMVeID863/test")],
)
def test_queries_are_files_of_the_gallery(tree: Path, query: str, gallery: str):
    queries, others = bytes_below(tree / query), bytes_below(tree / gallery)

    assert queries
    assert queries.items() <= others.items()


@pytest.mark.parametrize(("name", "read"), [("RGBNT100", rgbnt100.read), ("WMVeID863", wmveid863.read)])
def test_what_is_written_is_read_back_in_the_order_r_n_t(tmp_path: Path, name: str, read):
    triple = np.repeat(np.array(MODALITY_COLOURS, np.uint8), 128 * 256, axis=0).reshape(3, 128, 256, 3)
    items = plan(DOMAINS[name], seed=0, identities=2, test_identities=1, triples=2)
    for item in items:
        for path, content in files(DOMAINS[name], item, triple):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content)

    dataset = read(tmp_path)

    assert len(dataset.splits["train"]) == 4
    for record in [record for split in dataset.splits.values() for record in split]:
        means = read_triple(record, (16, 32)).mean(axis=(1, 2))
        np.testing.assert_allclose(means, MODALITY_COLOURS, atol=6)  # JPEG


@pytest.mark.parametrize("name", DOMAINS)
def test_each_test_identity_has_one_query_a_camera(name: str):
    items = plan(DOMAINS[name], seed=0, identities=4, test_identities=20, triples=8)
    queries = [(item.index, item.camera) for item in items if "query" in item.splits]

    assert sorted(queries) == sorted({(item.index, item.camera) for item in items if item.index >= 4})


@pytest.mark.parametrize("name", DOMAINS)
def test_every_query_has_a_match_under_another_camera(name: str):
    items = plan(DOMAINS[name], seed=0, identities=4, test_identities=20, triples=8)
    gallery = {(item.index, item.camera) for item in items if "gallery" in item.splits}

    for item in items:
        if "query" in item.splits:
            assert any(index == item.index and camera != item.camera for index, camera in gallery)


@pytest.mark.parametrize("name", DOMAINS)
def test_training_and_test_identities_are_disjoint(name: str):
    items = plan(DOMAINS[name], seed=0, identities=40, test_identities=20, triples=8)
    train = {item.index for item in items if "train" in item.splits}
    held_out = {item.index for item in items if "train" not in item.splits}

    assert (len(train), len(held_out)) == (40, 20)
    assert not train & held_out


def test_domains_have_different_vehicles():
    ours, theirs = ({identity(name, 0, index) for index in range(90)} for name in DOMAINS)

    assert not ours & theirs


def test_a_family_is_alike_in_one_modality_per_pair_and_never_in_all():
    first, second, third = (identity("RGBNT100", 0, index) for index in range(3))

    assert first.visible == second.visible
    assert first.near == third.near
    assert second.thermal == third.thermal
    assert first.near.paint != second.near.paint
    assert first.thermal.engine != second.thermal.engine
    assert first.visible.paint != third.visible.paint


def test_domains_answer_the_same_vehicle_differently():
    who = identity("RGBNT100", 0, 0)
    levels = [
        drawn(*(shot(domain, 0, 0, number, number % 4, who) for number in range(BATCH))).mean(axis=(0, 2, 3))
        for domain in (RGBNT100, WMVEID863)
    ]

    assert np.abs(levels[0] - levels[1]).max() > 8


@pytest.mark.parametrize(("part", "index"), [("visible", 0), ("near", 1), ("thermal", 2)])
def test_changing_one_modality_of_an_identity_leaves_the_other_two_alone(part: str, index: int):
    who, other = identity("RGBNT100", 0, 0), identity("RGBNT100", 0, 4)
    changed = who._replace(**{part: getattr(other, part)})
    here = clear(shot(RGBNT100, 0, 0, 0, 0, who))
    there = clear(shot(RGBNT100, 0, 0, 0, 0, changed))

    before, after = drawn(here, there)

    changes = np.abs(before - after).mean(axis=(1, 2, 3))
    assert changes[index] > 1
    assert [changes[i] for i in range(3) if i != index] == [0, 0]


def clear(moment: Shot) -> Shot:
    """The same view in plain daylight, with nothing in the way."""
    bright = moment.weather._replace(
        sun=np.full(4, 1.5, np.float32), sky=np.full(4, 0.6, np.float32), haze=np.zeros(5, np.float32)
    )
    return moment._replace(
        weather=bright, view=moment.view._replace(occluder=np.array([1, 1, -1, -1], np.float32))
    )


@pytest.mark.parametrize(("name", "same"), [("WMVeID863", True), ("RGBNT100", False)])
def test_hour_and_weather_stay_within_a_trip_and_change_between_days(name: str, same: bool):
    domain = DOMAINS[name]
    for index in range(5):
        shots = [shot(domain, 3, index, number, number % 4) for number in range(8)]
        # Where the sun stands to the camera is the camera's business; how high it stands is the hour's.
        weathers = [one.weather._replace(sun_direction=one.weather.sun_direction[2]) for one in shots]
        distinct = {np.concatenate([np.ravel(leaf) for leaf in weather]).tobytes() for weather in weathers}
        assert (len(distinct) == 1) == same
        assert len({float(one.view.yaw) for one in shots}) == len(shots)


def test_same_view_twice_differs_by_nuisance_only():
    one = shot(RGBNT100, 0, 0, 0, 0)
    again = one._replace(sensor=one.sensor._replace(seed=np.uint32(99)))

    first, second = drawn(one, again)

    assert 0 < np.abs(first - second).mean() < 12


def test_silhouettes_of_the_three_modalities_coincide():
    """A vehicle alight in every band against a scene dark in every band: what is bright is the vehicle."""
    shots = [
        silhouette(shot(WMVEID863, 0, index, 0, cameras_of(WMVEID863, 0, index, 1)[0]))
        for index in range(BATCH)
    ]
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *shots)

    pictures, coverage = (np.asarray(part) for part in render(batch, **SIZE))

    bright = pictures.min(axis=-1) > 127
    assert 0.05 < coverage.mean() < 0.9
    for modality in range(3):
        np.testing.assert_array_equal(bright[:, modality], coverage > 0)


def silhouette(moment: Shot) -> Shot:
    """Everything off but the vehicle, whose every material glows so much that one ray saturates a pixel."""

    def zeros(like: object) -> np.ndarray:
        return np.zeros_like(like)

    dark = jax.tree.map(zeros, moment.weather)._replace(
        lamps=np.float32(1.0), sun_direction=moment.weather.sun_direction
    )
    glowing = np.tile(np.array([0, 0, 0, 0, 0, 1, 99, 9], np.float32), (len(moment.finish.table), 1))
    shade = np.tile(np.array([0, 0, 0, 0, 0, 1, 0, 0], np.float32), (len(moment.scene.table), 1))
    plain = jax.tree.map(zeros, moment.sensor)._replace(
        exposure=np.full(2, 9, np.float32),
        cast=np.full(3, 9, np.float32),
        gamma=np.ones(2, np.float32),
        thermal_gain=np.float32(1.0),
        flare=np.array([[0, 0, 1, 0, 0, 0]] * 3, np.float32),
    )
    return moment._replace(
        finish=moment.finish._replace(table=glowing),
        scene=moment.scene._replace(table=shade),
        weather=dark,
        sensor=plain,
    )


def test_finished_folder_is_left_alone(tree: Path):
    before = bytes_below(tree)

    assert not writer.write_domain(RGBNT100, tree, **SMALL)

    assert bytes_below(tree) == before


def test_folder_of_another_recipe_is_refused_by_naming_the_difference(tree: Path):
    with pytest.raises(DataError, match=r"triples 4 there, 5 asked for.*delete the folder"):
        writer.write_domain(RGBNT100, tree, **{**SMALL, "triples": 5})


def test_folder_of_strangers_is_refused(tmp_path: Path):
    (tmp_path / "RGBNT100").mkdir()

    with pytest.raises(DataError, match="not written by this program"):
        writer.write_domain(RGBNT100, tmp_path, **SMALL)


def test_interrupted_run_leaves_nothing_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "files", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.write_domain(RGBNT100, tmp_path, **SMALL)

    assert not (tmp_path / "RGBNT100").exists()


def test_run_after_an_interruption_is_whole(tree: Path, tmp_path: Path):
    partial = tmp_path / ".RGBNT100.partial"
    shutil.copytree(tree / "RGBNT100/rgbir/query", partial / "rgbir/query")
    (partial / "rgbir/query/leftover.jpg").write_bytes(b"")

    writer.write_domain(RGBNT100, tmp_path, **SMALL)

    assert bytes_below(tmp_path / "RGBNT100") == bytes_below(tree / "RGBNT100")


def test_the_command_draws_and_is_silent_of_devices_that_are_not_there(tmp_path):
    words = ["--out", str(tmp_path), "--identities=1", "--test_identities=1", "--triples=2"]
    # Without a choice of platforms, JAX tells of each it has not found.
    environment = {name: value for name, value in (os.environ | QUICK).items() if name != "JAX_PLATFORMS"}
    result = subprocess.run(
        [sys.executable, "-m", "data_pipelines.synthetic", *words],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "RGBNT100: written" in result.stdout
    assert "Unable to initialize" not in result.stderr

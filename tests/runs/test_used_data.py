"""A run goes on with the data it began with, wherever they are, and with no other."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipelines.storing.prepared import PreparedDataset
from man_jax.config import WorkdirError
from man_jax.configs import default
from man_jax.runs.past_config import DATA
from man_jax.runs.starting_weights import find_moved_weights, keep_data
from man_jax.runs.used_data import check_data, describe_data, read_data, write_data
from man_jax.runs.workdir import claim_workdir
from tests.engine.splits import new_domain, new_split


def with_contents(data: PreparedDataset, **contents: str) -> PreparedDataset:
    splits = {
        name: replace(getattr(data, name), fingerprints=contents) for name in ("train", "query", "gallery")
    }
    return replace(data, **splits)


@pytest.fixture
def data() -> PreparedDataset:
    return with_contents(new_domain([1, 1, 2]).data, labels="l", R="r", N="n", T="t")


@pytest.fixture
def workdir(tmp_path, data) -> Path:
    write_data(tmp_path, describe_data(data, data))
    return tmp_path


def roots():
    config = default.get_config()
    config.data.source.root, config.data.target.root = "/mnt/s", "/mnt/t"
    return config.data


def test_the_same_content_goes_on(workdir, data):
    check_data(workdir, describe_data(data, data), roots())


@pytest.mark.parametrize("split", ["train", "query", "gallery"])
@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"labels": "x"}, r"has as many triples \(3\) as then, but other pids, camids or scenes"),
        ({"N": "x", "T": "x"}, r"has as many triples \(3\) as then, but other image files of N, T"),
        ({"labels": "x", "R": "x"}, r"other pids, camids or scenes and other image files of R"),
    ],
)
def test_a_split_of_other_content_is_named(workdir, data, split, contents, message):
    part = getattr(data, split)
    other = replace(data, **{split: replace(part, fingerprints={**part.fingerprints, **contents})})
    with pytest.raises(
        WorkdirError, match=rf"began with other data: {split} of the target drawn in /mnt/t .*{message}"
    ):
        check_data(workdir, describe_data(data, other), roots())


def test_a_triple_more_is_named_with_both_counts(workdir, data):
    grown = replace(data, train=new_split([1, 1, 2, 2]))
    with pytest.raises(
        WorkdirError,
        match=r"train of the source drawn in /mnt/s had 3 triples of 2 identities and has 4 of 2",
    ) as error:
        check_data(workdir, describe_data(grown, data), roots())
    assert "--config.data.source.root" in str(error.value)
    assert "another --workdir" in str(error.value)


def test_what_is_not_loaded_does_not_count(tmp_path, data):
    chosen = replace(data, modalities=("R", "N"))
    write_data(tmp_path, describe_data(chosen, chosen))
    other = with_contents(chosen, labels="l", R="r", N="n", T="changed")
    check_data(tmp_path, describe_data(other, other), roots())


def test_the_source_s_test_images_do_not_count(workdir, data):
    check_data(workdir, describe_data(replace(data, gallery=new_split([9])), data), roots())


def test_a_run_of_before_such_records_goes_on_with_a_line_and_has_one_from_then_on(tmp_path, data, caplog):
    used = describe_data(data, data)
    check_data(tmp_path, used, roots())
    with caplog.at_level("WARNING", logger="absl"):
        keep_data(tmp_path, used, default.get_config(), fresh=False)
    assert "could not be checked" in caplog.text
    assert read_data(tmp_path) == json.loads((tmp_path / DATA).read_text())


def test_the_record_of_a_run_that_goes_on_is_left_alone(workdir, data):
    before = (workdir / DATA).read_bytes()
    keep_data(workdir, describe_data(data, data), default.get_config(), fresh=False)
    assert (workdir / DATA).read_bytes() == before


@pytest.mark.parametrize("text", ["", '{"source', "[1]", "{}", '{"source": {"train": {}}}'])
def test_a_damaged_record_is_refused_in_one_line(workdir, data, text):
    (workdir / DATA).write_text(text)
    with pytest.raises(WorkdirError, match=r"data\.json .*restore it from a copy") as error:
        check_data(workdir, describe_data(data, data), roots())
    assert "\n" not in str(error.value)


def test_weights_named_in_another_place_are_known_by_their_content(tmp_path, data):
    one, same, other = (tmp_path / name for name in ("one.pth", "same.pth", "other.pth"))
    for path in (one, same, other):
        path.write_bytes(b"weights" if path is not other else b"others")
    config = default.get_config()
    config.model.pretrained = str(one)
    workdir = tmp_path / "run"
    with claim_workdir(workdir, config):
        keep_data(workdir, describe_data(data, data), config, fresh=True)
    assert find_moved_weights(workdir, config) == ()
    config.model.pretrained = str(same)
    assert find_moved_weights(workdir, config) == ("model.pretrained",)
    for place in (other, tmp_path / "gone.pth"):
        config.model.pretrained = str(place)
        assert find_moved_weights(workdir, config) == ()
    config.model.pretrained = ""
    assert find_moved_weights(workdir, config) == ()


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found.pop("source"),
        lambda found: found["target"].pop("gallery"),
        lambda found: found["source"].pop("name"),
        lambda found: found.update(target=["train", "query", "gallery"]),
        lambda found: found["source"].update(train=3),
        lambda found: found["target"]["query"].pop("fingerprints"),
        lambda found: found["target"]["query"].update(triples="three"),
    ],
)
def test_a_record_of_the_data_that_was_edited_is_refused_by_its_name(workdir, data, damage):
    found = json.loads((workdir / DATA).read_text())
    damage(found)
    (workdir / DATA).write_text(json.dumps(found))
    with pytest.raises(WorkdirError, match=r"data\.json lacks the description of a split; restore it"):
        check_data(workdir, describe_data(data, data), roots())

"""A run of an older version goes on, and is evaluated, as that version meant its configuration."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from flax.traverse_util import unflatten_dict

from man_jax import methods
from man_jax.config import Config, WorkdirError
from man_jax.configs import default
from man_jax.runs.past_config import CONFIG, DATA, plain_values, read_config, read_version, run_config
from man_jax.runs.versions import is_older, versions
from man_jax.runs.workdir import HISTORY, check_workdir, claim_workdir

ROOT = Path(__file__).parents[2]


def older(workdir: Path, *, without: tuple[str, ...] = (), version: str | None = None, **more) -> Config:
    """The configuration of now; the work directory holds it as another version wrote it."""
    config = default.get_config()
    flat = json.loads(json.dumps(config.to_dict()))
    for key in without:
        part, name = key.split(".")
        del flat[part][name]
    for key, value in more.items():
        part, name = key.split("__")
        flat[part][name] = value
    workdir.mkdir(exist_ok=True)
    (workdir / CONFIG).write_text(json.dumps(flat))
    if version:
        (workdir / DATA).write_text(json.dumps({"versions": {"man_jax": version}}))
    return config


@pytest.mark.parametrize(
    "key", ["evaluation.modalities", "model.dtype", "adapt.protocol", "data.storage", "adapt.init_from"]
)
def test_a_key_that_a_run_is_too_old_for_has_the_default_it_had_in_effect(tmp_path, key):
    config = older(tmp_path, without=(key,))
    with claim_workdir(tmp_path, config):
        pass
    assert json.loads((tmp_path / CONFIG).read_text()) == json.loads(json.dumps(config.to_dict()))


@pytest.mark.parametrize(
    ("key", "then", "now"),
    [
        ("loss.triplet_fused", "pooled", "normed"),
        ("adapt.statistics", "shared", "per_domain"),
        ("man.head_norm", "unit", "matched"),
    ],
)
def test_where_the_default_changed_a_missing_key_means_that_of_then(tmp_path, key, then, now):
    config = older(tmp_path, without=(key,))
    with pytest.raises(WorkdirError, match=rf"config\.{key} is '{then}' there and '{now}' here"):
        check_workdir(tmp_path, config)
    config.update_from_flattened_dict({key: then})
    check_workdir(tmp_path, config)
    assert read_config(tmp_path).values[key] == then


def test_a_version_that_had_the_key_already_had_today_s_default(tmp_path):
    check_workdir(tmp_path, older(tmp_path, without=("loss.triplet_fused",), version="0.1.0"))


@pytest.mark.parametrize("more", [{"data__in_memory": True}, {"adapt__speed": 0}, {"loss__old": {"a": 1}}])
def test_a_key_that_is_gone_is_named_in_a_line_and_kept_readable(tmp_path, caplog, more):
    config = older(tmp_path, **more)
    with caplog.at_level("INFO", logger="absl"), claim_workdir(tmp_path, config):
        pass
    name = next(iter(more)).replace("__", ".")
    assert f"config.{name}" in caplog.text
    assert "there is no such key any more" in caplog.text
    assert name in (tmp_path / HISTORY).read_text()


def test_a_key_of_a_later_version_is_refused_with_both_versions(tmp_path):
    config = older(tmp_path, version="99.1", loss__gamma=2.0)
    with pytest.raises(
        WorkdirError, match=r"\(by man_jax 99\.1\): config\.loss\.gamma is 2\.0 there, and man_jax .* has no"
    ):
        check_workdir(tmp_path, config)


def test_a_gone_key_whose_value_mattered_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(default, "GONE", {"loss.gamma": (0.0,)})
    check_workdir(tmp_path, older(tmp_path, loss__gamma=0.0))
    with pytest.raises(
        WorkdirError, match=r"config\.loss\.gamma is 2\.0 there, and man_jax .* has no such key"
    ):
        check_workdir(tmp_path, older(tmp_path, loss__gamma=2.0))


def test_an_older_run_is_evaluated_as_it_was_trained(tmp_path, caplog):
    older(tmp_path, without=("evaluation.modalities", "loss.triplet_fused"), data__in_memory=True)
    with caplog.at_level("WARNING", logger="absl"):
        config = run_config(tmp_path)
    assert (config.evaluation.modalities, config.loss.triplet_fused) == ((), "pooled")
    assert "config.data.in_memory of" in caplog.text


# --- keys that moved


def old_form(config: Config) -> dict[str, Any]:
    """The configuration as version 0.1 wrote it: MAN's keys among those of adaptation and of the loss."""
    values = plain_values(config)
    back = {new: old for old, new in default.MOVED.items()}
    labels = values.pop("man.labels") if values["adapt.labels"] == "pseudo" else "truth"
    old = {back.get(key, key): value for key, value in values.items() if key.partition(".")[0] not in METHODS}
    moved = {back[key]: value for key, value in values.items() if key in back}
    del old["method"]
    return unflatten_dict(old | moved | {"adapt.labels": labels}, sep=".")


METHODS = methods.names()


def unusual() -> Config:
    """Those of MAN's keys that version 0.1 had, with values that are not their defaults; the others as it was then."""
    config = default.get_config()
    config.man.update(aligned="normed", across_epochs="renewed")
    known = {"man.labels", *default.MOVED.values()}
    for name, key in methods.keys_of("man").items():
        if f"man.{name}" in known:
            config.man[name] = key.choices[-1] if key.choices else type(key.default)(key.default / 2 + 1)
    return config


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"man.labels": "cpa"}, "cpa"),
        ({"man.labels": "fusion"}, "fusion"),
        ({"adapt.labels": "truth"}, "truth"),
    ],
)
def test_a_configuration_of_before_means_now_what_it_meant(tmp_path, changes, labels):
    config = unusual()
    config.update_from_flattened_dict(changes)
    old = old_form(config)
    assert "man" not in old
    assert old["adapt"]["labels"] == labels
    (tmp_path / CONFIG).write_text(json.dumps(old))
    found = plain_values(run_config(tmp_path))
    if labels == "truth":  # where nothing is clustered
        found["man.labels"] = config.man.labels
    assert found == plain_values(config)


def test_a_run_of_version_0_1_0_keeps_its_own_values_and_is_not_taken_for_an_older_one(tmp_path):
    assert is_older("0.1.0", project_version())
    config = unusual()
    old = old_form(config)
    for part, name in (("loss", "triplet_fused"), ("adapt", "statistics")):
        del old[part][name]
    (tmp_path / CONFIG).write_text(json.dumps(old))
    (tmp_path / DATA).write_text(json.dumps({"versions": {"man_jax": "0.1.0"}}))
    assert plain_values(run_config(tmp_path)) == plain_values(config)


def project_version() -> str:
    """The version that the project would be installed as."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.mark.parametrize(("old", "new"), default.MOVED.items())
def test_each_key_that_moved_is_read_under_its_old_name(tmp_path, old, new):
    part, name = old.split(".")
    value = plain_values(unusual())[new]
    (tmp_path / CONFIG).write_text(json.dumps({part: {name: value}}))
    past = read_config(tmp_path)
    assert past.values[new] == value
    assert past.gone == {}


def test_a_run_of_before_is_of_the_same_configuration(tmp_path):
    (tmp_path / CONFIG).write_text(json.dumps(old_form(unusual())))
    check_workdir(tmp_path, unusual())
    other = unusual()
    other.man.alpha = 0.25
    with pytest.raises(WorkdirError, match=r"config\.man\.alpha is 1\.5 there and 0\.25 here"):
        check_workdir(tmp_path, other)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seed": 0'])
def test_a_damaged_configuration_is_refused_in_one_line(tmp_path, text):
    (tmp_path / CONFIG).write_text(text)
    for use in (run_config, lambda workdir: check_workdir(workdir, default.get_config())):
        with pytest.raises(WorkdirError, match=r"config\.json .*; restore it from a copy"):
            use(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("0.1.0", "0.2.0", True),
        ("0.9.1", "0.10.0", True),
        ("0.2.0", "0.2.0", False),
        (None, "0.1.0", True),
        ("unknown", "9.0", False),
    ],
)
def test_versions_are_in_order(one, other, expected):
    assert is_older(one, other) is expected


def test_both_versions_at_work_are_told():
    assert versions().keys() == {"man_jax", "jax"}


@pytest.mark.parametrize("versions", ["0.1.0", ["0.1.0"], {"man_jax": 1}, {}, None])
def test_a_record_of_versions_that_was_edited_counts_as_none(tmp_path, versions):
    (tmp_path / DATA).write_text(json.dumps({"versions": versions}))
    assert read_version(tmp_path) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model__width", "64"),
        ("model__width", 64.5),
        ("data__prepared", None),
        ("data__image_size", 256),
        ("augment__per_modality", 1),
        ("pretrain__epochs", True),
        ("adapt__epochs", "many"),
        ("man__alpha", "1"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_key(tmp_path, key, value):
    older(tmp_path, **{key: value})
    name = key.replace("__", ".")
    with pytest.raises(
        WorkdirError, match=rf"config\.json: config\.{name} is {value!r}, which is of another type"
    ):
        read_config(tmp_path)


def test_a_whole_number_may_stand_for_any_number(tmp_path):
    older(tmp_path, man__alpha=1)
    assert read_config(tmp_path).values["man.alpha"] == 1


def test_a_home_folder_in_a_configuration_of_an_earlier_version_is_put_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    older(tmp_path, data__prepared="~/prepared")
    assert run_config(tmp_path).data.prepared == "/home/me/prepared"

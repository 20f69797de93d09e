import importlib
import inspect
import math
import re
from pathlib import Path

import pytest
from absl import flags
from man_jax.configs.variants import BACKBONES, RELEASED, ROWS, SMOKE, VARIANTS, turn
from ml_collections import ConfigDict, config_flags

from data_pipelines.reading.datasets import READERS
from man_jax import configs, methods
from man_jax.config import (
    CHOICES,
    ENDLESS,
    POSITIVE,
    RANGES,
    Config,
    ConfigError,
    check_config,
)
from man_jax.configs import default
from man_jax.engine.augment import Augmentation, Normalization
from man_jax.engine.build import build_normalization
from man_jax.experiment_names import NO_EXPERIMENTS
from man_jax.losses.reid import reid_loss

FOLDER = Path(configs.__path__[0])
EXPERIMENTS = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in NO_EXPERIMENTS)
every_experiment = pytest.mark.parametrize("name", EXPERIMENTS)
both_variants = pytest.mark.parametrize("variant", ["", "smoke"])


def experiment(name: str, variant: str = "") -> Config:
    return importlib.import_module(f"man_jax.configs.{name}").get_config(variant)


def defaults() -> Config:
    return default.get_config()


def changed(**changes) -> Config:
    """The default configuration with a few values, the keys written a__b for a.b."""
    config = defaults()
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


# ml_collections loads the experiment's file the way Python 3.11 has come to discourage.
through_flags = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def from_flags(*arguments: str) -> Config:
    """The configuration as the command line gives it."""
    values, line = flags.FlagValues(), ["train", f"--config={FOLDER / 'demo.py'}", *arguments]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=line)
    values(line)
    return values.config


def parts(config: Config, prefix: str = ""):
    """(name, value) of every key, parts of the configuration included."""
    for key, value in config.items():
        yield prefix + key, value
        if isinstance(value, ConfigDict):
            yield from parts(value, f"{prefix}{key}.")


OF_METHODS = {
    f"{method}.{name}": key for method in methods.names() for name, key in methods.keys_of(method).items()
}
WORDS = CHOICES | {name: key.choices for name, key in OF_METHODS.items() if key.choices}
"""By full key the values there are."""
LIMITS = RANGES | {
    name: (key.least, min(key.largest, ENDLESS)) for name, key in OF_METHODS.items() if key.least > -math.inf
}
"""By full key the least and the largest value."""


# --- the experiments


@both_variants
@every_experiment
def test_every_experiment_passes_its_own_check(name, variant):
    check_config(experiment(name, variant), num_devices=1)


@both_variants
@every_experiment
def test_every_experiment_is_locked_in_all_its_parts(name, variant):
    config = experiment(name, variant)
    assert config.is_locked
    assert all(part.is_locked for _, part in parts(config) if isinstance(part, ConfigDict))


@both_variants
@every_experiment
def test_every_experiment_has_the_keys_of_the_default_and_their_types(name, variant):
    wanted = {key: type(value) for key, value in parts(defaults())}
    assert {key: type(value) for key, value in parts(experiment(name, variant))} == wanted


@every_experiment
def test_every_experiment_reads_data_sets_that_have_a_reader(name):
    data = experiment(name).data
    assert {data.source.name, data.target.name} <= set(READERS)


@pytest.mark.parametrize(
    ("source", "target", "epochs", "iterations", "clusters", "published"),
    [
        ("rgbnt100", "wmveid863", 40, 400, 300, "Table 2; mAP 53.91, R1 59.16, R5 71.98, R10 75.46"),
        ("wmveid863", "rgbnt100", 50, 600, 100, "Table 2; mAP 50.86, R1 89.15, R5 89.97, R10 90.44"),
        ("msvr310", "wmveid863", 40, 400, 300, "Table 2; mAP 55.32, R1 62.09, R5 72.71, R10 77.47"),
        ("rgbnt201", "market1501mm", 50, 600, 500, "Table 3; mAP 23.68, R1 48.04, R5 65.53, R10 73.60"),
        ("market1501mm", "rgbnt201", 60, 400, 200, "Table 3; mAP 32.59, R1 33.61, R5 42.82, R10 46.65"),
    ],
)
def test_the_five_transfers_have_the_released_schedule_and_the_published_result(
    source, target, epochs, iterations, clusters, published
):
    name = f"{source}_to_{target}"
    config = experiment(name)
    assert (config.data.source.name, config.data.target.name) == (source, target)
    assert (config.adapt.epochs, config.adapt.iterations) == (epochs, iterations)
    assert config.adapt.num_clusters == clusters
    text = " ".join((importlib.import_module(f"man_jax.configs.{name}").__doc__ or "").split())
    table, figures = published.split("; ")
    assert f"Published ({table};" in text
    assert figures in text
    assert "Not run by us at full size" in text


@every_experiment
def test_every_experiment_has_a_name_and_its_smoke_variant_another(name):
    assert experiment(name).experiment == name
    assert experiment(name, "smoke").experiment == f"{name}-smoke"


@every_experiment
def test_an_unknown_variant_is_refused(name):
    with pytest.raises(ValueError, match=r"variant 'smok' is none of paper, .*smoke; join several with \+"):
        experiment(name, "smok")


@pytest.mark.parametrize("row", sorted(set(VARIANTS) - {"smoke"}))
def test_every_row_of_the_tables_is_a_variant_that_passes_the_checks(row):
    config = experiment("demo", f"{row}+smoke")
    assert config.experiment == f"demo-{row}-smoke"
    assert config.model.width == SMOKE["model.width"]
    check_config(config, num_devices=1)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("rgbnt100_to_wmveid863", 0.009),
        ("wmveid863_to_rgbnt100", 0.001),
        ("msvr310_to_wmveid863", 0.001),
        ("rgbnt201_to_market1501mm", 0.009),
        ("market1501mm_to_rgbnt201", 0.009),
    ],
)
def test_the_released_learning_rate_depends_on_the_source(name, rate):
    assert experiment(name, "released").pretrain.learning_rate == rate
    assert turn(experiment(name), "released").pretrain.learning_rate == rate
    assert experiment(name).pretrain.learning_rate == 3.5e-4


@pytest.mark.parametrize(
    ("name", "epochs", "warmup_epochs"),
    [
        ("rgbnt100_to_wmveid863", 120, 100),
        ("wmveid863_to_rgbnt100", 120, 100),
        ("msvr310_to_wmveid863", 1000, 100),
        ("rgbnt201_to_market1501mm", 120, 10),
        ("market1501mm_to_rgbnt201", 121, 10),
    ],
)
def test_the_released_length_of_pre_training_depends_on_the_source(name, epochs, warmup_epochs):
    phase = experiment(name, "released").pretrain
    assert (phase.epochs, phase.warmup_epochs) == (epochs, warmup_epochs)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_trial_of_the_released_code_is_as_short_as_any(name):
    for variant in ("released+smoke", "smoke+released"):
        for key in ("pretrain.epochs", "pretrain.warmup_epochs", "adapt.epochs"):
            part, last = key.split(".")
            assert experiment(name, variant)[part][last] == SMOKE[key]


@pytest.mark.parametrize(
    ("name", "identity_weight", "distance", "target_columns", "source_columns"),
    [
        ("rgbnt100_to_wmveid863", 0.0, "cosine", "centres", "means"),
        ("wmveid863_to_rgbnt100", 1.0, "squared", "later", "means"),
        ("msvr310_to_wmveid863", 0.0, "cosine", "centres", "means"),
        ("rgbnt201_to_market1501mm", 1.0, "squared", "learnt", "means"),
        ("market1501mm_to_rgbnt201", 1.0, "cosine", "learnt", "learnt"),
    ],
)
def test_the_released_method_depends_on_the_target(
    name, identity_weight, distance, target_columns, source_columns
):
    own = experiment(name, "released").man_released
    assert own.identity_weight == identity_weight
    assert own.modality_distance == distance
    assert (own.target_columns, own.source_columns) == (target_columns, source_columns)


def test_the_default_is_the_paper_s_reading():
    plain, named = experiment("demo"), experiment("demo", "paper")
    named.experiment = plain.experiment
    assert named.to_json() == plain.to_json()


@pytest.mark.parametrize("row", ["released", *ROWS, *BACKBONES])
def test_every_other_variant_changes_each_key_it_names(row):
    plain = default.get_config()
    plain.model.pretrained = "weights of the experiment"  # as the demonstration has them
    for key, value in VARIANTS[row].items():
        part = plain
        for name in key.split("."):
            part = part[name]
        assert part != value, key


HOW = {
    "adapt.features",
    "adapt.kmeans_devices",
    "data.storage",
    "man.memories",
    "model.application",
    "model.block",
    "model.convolution",
    "model.remat",
    "model.vit.activation",
}
"""Keys that say how a thing is computed or which weights' network it is, and not how the paper is read."""
CHOICES_OF_METHODS = {
    name for name, key in OF_METHODS.items() if key.choices and name.split(".")[0] in ("man", "man_released")
}
"""Of MAN; each other method has its readings on its page (tests/test_documents.py)."""


@pytest.mark.parametrize("key", sorted((set(CHOICES) | set(RELEASED) | CHOICES_OF_METHODS) - HOW))
def test_the_readings_have_one_row_for_each_key_with_all_its_options(key):
    readings = (FOLDER.parent / "docs" / "READINGS.md").read_text(encoding="utf-8")
    rows = [
        line for line in readings.splitlines() if line.startswith("|") and f"`{key}`" in line.split("|")[1]
    ]
    assert len(rows) == 1
    assert len(re.split(r"(?<!\\)\|", rows[0].strip("|"))) == 5  # \| is no end of a cell
    assert all(f"`{option}`" in rows[0].split("|")[1] for option in WORDS.get(key, ()))


@every_experiment
def test_every_experiment_says_how_to_run_it(name):
    assert (
        f"python -m man_jax.train --config configs/{name}.py"
        in importlib.import_module(f"man_jax.configs.{name}").__doc__
    )


@pytest.mark.parametrize("num_devices", [1, 2, 4, 8])
@every_experiment
def test_a_smoke_variant_runs_on_any_common_number_of_devices(name, num_devices):
    check_config(experiment(name, "smoke"), num_devices=num_devices)


# --- keys and their types


def test_a_misspelt_key_is_refused_with_the_right_one():
    with pytest.raises(AttributeError, match=r"Did you mean.*num_clusters"):
        defaults().adapt.num_cluster = 5


@through_flags
def test_a_misspelt_flag_is_refused_with_the_right_one():
    with pytest.raises((AttributeError, KeyError, flags.Error), match=r"Did you mean.*alpha"):
        from_flags("--config.man.alhpa=0.5")


@through_flags
def test_numbers_and_tuples_are_read_from_flags_in_their_types():
    config = from_flags(
        "--config.man.alpha=1", "--config.data.image_size=(64, 32)", "--config.adapt.epochs=3"
    )
    assert (config.man.alpha, type(config.man.alpha)) == (1.0, float)
    assert config.data.image_size == (64, 32)
    assert (config.adapt.epochs, type(config.adapt.epochs)) == (3, int)


@through_flags
@pytest.mark.parametrize(
    "argument",
    ["--config.man.alpha=much", "--config.adapt.epochs=1.5", "--config.augment.per_modality=perhaps"],
)
def test_a_value_of_another_type_is_refused(argument):
    with pytest.raises((flags.Error, TypeError, ValueError)):
        from_flags(argument)


def test_a_whole_number_becomes_a_float_where_the_key_is_one():
    config = defaults()
    config.man.beta = 1
    assert isinstance(config.man.beta, float)


def test_loss_keys_are_what_l_reid_takes():
    taken = {
        each.name
        for each in inspect.signature(reid_loss).parameters.values()
        if each.kind == each.KEYWORD_ONLY
    }
    assert set(defaults().loss) == taken - {"mask", "weight", "exists", "modal_weight"}


def test_augment_keys_are_the_fields_of_augmentation_and_normalization():
    assert set(defaults().augment) == {*Augmentation._fields, *Normalization._fields}


def test_the_defaults_of_the_parts_are_those_of_the_configuration():
    config = defaults()
    assert build_normalization(config) == Normalization()
    assert Augmentation(**{name: config.augment[name] for name in Augmentation._fields}) == Augmentation()


def test_every_number_of_the_method_has_a_range_and_every_word_its_choices():
    ruled = {*WORDS, *POSITIVE, *LIMITS, "adapt.init_from"}  # a place
    for group in ("adapt", "loss", *methods.names()):
        for key, value in getattr(defaults(), group).items():
            assert isinstance(value, bool) or f"{group}.{key}" in ruled, key


def test_every_choice_is_of_a_key_and_has_the_default_among_it():
    values = dict(parts(defaults()))
    for key, choices in WORDS.items():
        assert values[key] in choices, key


# --- refusals


@pytest.mark.parametrize(("key", "choices"), sorted(WORDS.items()))
def test_an_unknown_choice_lists_the_choices(key, choices):
    with pytest.raises(ConfigError) as refusal:
        check_config(changed(**{key.replace(".", "__"): "nonsense"}), num_devices=1)
    assert f"config.{key} is 'nonsense'; choose one of {', '.join(choices)}" == str(refusal.value)


@pytest.mark.parametrize("key", POSITIVE)
def test_a_count_below_one_is_refused(key):
    with pytest.raises(ConfigError, match=rf"config\.{key} is 0; it must be at least 1"):
        check_config(changed(**{key.replace(".", "__"): 0}), num_devices=1)


@pytest.mark.parametrize("key", LIMITS)
def test_a_value_out_of_its_range_is_refused_and_the_ends_of_the_range_are_not(key):
    least, largest = LIMITS[key]
    name = key.replace(".", "__")
    for outside in (least - 1, *([largest + 1] if largest < ENDLESS else [])):
        with pytest.raises(
            ConfigError, match=rf"config\.{key} is {outside}.*; it must be (at least|between) {least}"
        ):
            check_config(changed(**{name: outside}), num_devices=1)
    for end in (least, *([largest] if largest < ENDLESS else [])):
        fitting = {"pretrain__init_from": "runs/other"} if key == "pretrain.epochs" else {}
        check_config(changed(**{name: end}, **fitting), num_devices=1)

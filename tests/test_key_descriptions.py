"""Every key is described where it is defined, and the pages about keys say what the configuration does."""

import pytest

from man_jax import methods
from man_jax.config import ConfigError, flat
from man_jax.configs import default
from man_jax.experiment_flags import load_experiment
from man_jax.key_comments import key_comments
from man_jax.key_descriptions import describe, methods_reading
from man_jax.key_pages import difference, explanation, keys_named, listing

KEYS = [*flat(default.get_config())]


def lines(page: str) -> dict[str, str]:
    return {row[2:12].strip(): row[12:] for row in page.splitlines()[1:]}


# --- where a key is defined


def test_every_key_has_a_meaning():
    assert [key for key in KEYS if not describe(key).about.strip()] == []


def test_the_comments_are_of_the_shared_keys_and_of_no_other():
    assert key_comments().keys() == {key for key in KEYS if key.partition(".")[0] not in methods.names()}


@pytest.mark.parametrize(
    ("key", "about"),
    [
        ("adapt.iterations", "steps an epoch; released"),
        ("data.target.root", "the folder or table it reads"),
        ("model.vit.patch", "pixels"),
        (
            "model.msinet.interactions",
            "two a cell, four a stage: none | exc (exchange) | ag (gates) | cross_att",
        ),
        ("man.alpha", "weight of PDA; paper §4.5.4"),
    ],
)
def test_a_meaning_is_the_text_beside_the_key(key, about):
    assert describe(key).about == about


def test_a_key_of_a_method_has_the_limits_of_its_table():
    known = describe("mmt.alpha")
    assert (known.least, known.largest, known.users) == (0, 1, "the method mmt")


def test_a_shared_key_has_the_limits_of_the_check():
    assert describe("adapt.num_clusters").least == 1
    assert describe("loss.smoothing").largest == 1
    assert describe("method").choices == methods.names()


def test_the_variants_that_set_a_key_are_named_with_their_values():
    assert describe("adapt.epochs").presets == {"source_only": 0, "smoke": 2}


# --- who reads a key


def test_the_methods_that_read_a_key_of_the_loss_are_found():
    assert methods_reading("loss.triplet_margin") == ("idm", "man", "man_released")
    assert "mmt" in methods_reading("loss.smoothing")


def test_the_keys_of_k_means_are_read_through_a_shared_function():
    # o2cap calls it by another shared function, and mmt by itself.
    assert {"mmt", "o2cap"} <= {*methods_reading("adapt.kmeans_init")}


def test_a_key_that_no_file_of_a_method_names_is_read_by_none():
    assert methods_reading("loss.nothing") == ("man", "man_released")  # these take the whole group
    assert methods_reading("adapt.nothing") == ()


# --- which keys a name stands for


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("man.alpha", ["man.alpha"]),
        ("config.man.alpha", ["man.alpha"]),
        ("--config.man.alpha", ["man.alpha"]),
        ("kmeans_init", ["adapt.kmeans_init"]),
        ("batch", ["batch.identities", "batch.instances"]),
        ("data.source", ["data.source.deep_range", "data.source.name", "data.source.root"]),
        ("seed", ["seed"]),
    ],
)
def test_a_name_stands_for_a_key_the_end_of_one_or_a_group(name, keys):
    assert sorted(keys_named(name)) == keys


def test_the_end_of_several_keys_stands_for_those_that_the_experiment_uses():
    assert len(keys_named("alpha")) > 2
    assert keys_named("alpha", load_experiment("demo")) == ["man.alpha"]
    assert keys_named("alpha", load_experiment("demo:mmt")) == ["mmt.alpha"]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("man.apha", r"there is no key man\.apha; did you mean man\.alpha or "),
        ("adapt.kmeans_ini", r"did you mean adapt\.kmeans_init"),
        ("adapt.rule", r"adapt\.rule is called config\.man\.rule now"),
        ("", "there is no key ''; did you mean"),
    ],
)
def test_a_key_that_does_not_exist_is_answered_with_the_nearest(name, answer):
    with pytest.raises(ConfigError, match=answer):
        keys_named(name)


# --- the pages


def test_an_explanation_has_default_meaning_values_users_and_variants():
    found = lines(explanation("man.alpha", None))
    assert found["default"] == "1.0"
    assert found["meaning"].startswith("weight of PDA")
    assert found["value"] == "a number, at least 0"
    assert found["used by"] == "the method man"
    assert "no_pda (0.0)" in found["variants"]
    assert "there" not in found


def test_an_explanation_in_an_experiment_has_its_value_where_it_differs():
    demo = load_experiment("demo")
    assert lines(explanation("adapt.epochs", demo))["there"] == "6  in demo"
    assert "there" not in lines(explanation("adapt.learning_rate", demo))


def test_a_key_that_is_as_in_pre_training_is_explained_by_that_one_too():
    assert "pretrain.decay_form: coupled: as PyTorch's Adam" in explanation("adapt.decay_form", None)


def test_choices_are_listed():
    assert lines(explanation("model.remat", None))["value"] == "one of none, block, stage"


@pytest.mark.parametrize("key", KEYS)
def test_every_key_can_be_explained_within_a_few_lines(key):
    assert 5 <= len(explanation(key, None).splitlines()) <= 8


def test_the_difference_has_what_the_experiment_and_its_variant_set_and_nothing_else():
    page = difference(load_experiment("demo:plus"))
    assert "config.man.labels = fusion  (default cpa)" in page
    assert "config.adapt.epochs = 6  (default 40)" in page
    assert "learning_rate = 0.00035 " not in page
    assert "idm" not in page
    assert page.splitlines()[-1].startswith("and ")
    assert page.splitlines()[-1].endswith(" keys of methods that demo-plus does not use")


def test_the_default_differs_in_nothing_from_itself():
    assert difference(default.get_config()) == "nothing differs from the default"


def test_the_listing_leaves_out_other_methods():
    page = listing(load_experiment("demo:mmt"))
    assert "config.mmt.alpha = 0.999" in page
    assert "config.man." not in page

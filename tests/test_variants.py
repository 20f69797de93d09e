from itertools import combinations
from operator import attrgetter

import pytest
from man_jax.configs.variants import METHODS, ROWS, STRENGTHS, VARIANTS, turn

from man_jax.configs import default, demo, msvr310_to_wmveid863


def test_a_row_is_a_variant_or_another_value_of_a_key():
    config = demo.get_config()
    assert turn(config, "no_pda").man.alpha == 0.0
    assert turn(config, "adapt.sampling=reliable").adapt.sampling == "reliable"
    assert turn(config, "man.alpha=0.5").man.alpha == 0.5
    assert turn(config, "man.alpha=2").man.alpha == 2.0
    assert turn(config, "adapt.num_clusters=64").adapt.num_clusters == 64
    assert turn(config, "augment.per_modality=False").augment.per_modality is False
    assert turn(config, "model.modalities=('R', 'T')").model.modalities == ("R", "T")


def test_a_row_leaves_the_experiment_as_it_was():
    config = demo.get_config()
    turn(config, "no_pda")
    turn(config, "adapt.sampling=reliable")
    assert config.to_json() == demo.get_config().to_json()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("no_cap", "variant 'no_cap' is none of"),
        ("loss.alfa=0.5", "there is no key loss.alfa"),
        ("adapt.num_clusters=many", "'many' is no value of adapt.num_clusters, which is of type int"),
        ("adapt.epochs=0.5", "'0.5' is no value of adapt.epochs"),
        ("adapt.labels=fusion", "config.adapt.labels=fusion is config.man.labels=fusion now"),
        *(
            (f"{old}=1", f"config.{old} is called config.{new} now; its values are the same")
            for old, new in default.MOVED.items()
        ),
    ],
)
def test_a_row_that_does_not_exist_is_refused_by_name(row, message):
    with pytest.raises(ValueError, match=message):
        turn(demo.get_config(), row)


# --- several at once


def settings(variant: str, experiment=demo) -> dict[str, object]:
    """All keys but the name."""
    config = experiment.get_config(variant).to_dict()
    del config["experiment"]
    return config


CONTRADICTIONS = {
    tuple(sorted(pair)): key
    for pair, key in {
        ("paper", "released"): "data.train_filter",
        ("paper", "plus"): "man.cameras",
        ("vit", "clip"): "model.backbone",
        ("vit", "msinet"): "model.backbone",
        ("clip", "msinet"): "model.backbone",
        ("ins_ins", "proto_proto"): "man.domain_pairs",
    }.items()
} | dict.fromkeys(combinations(sorted(METHODS), 2), "method")
"""Pairs of variants, and the key that each sets to a value of its own."""

PAIRS = [tuple(sorted(pair)) for pair in combinations(VARIANTS, 2)]


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_two_variants_say_the_same_in_either_order_or_are_refused(pair):
    one, other = pair
    for name in (f"{one}+{other}", f"{other}+{one}"):
        if pair in CONTRADICTIONS:
            with pytest.raises(ValueError, match=rf"config\.{CONTRADICTIONS[pair]} is .* in the one and"):
                settings(name)
        else:
            assert settings(name) == settings(f"{one}+{other}")


@pytest.mark.parametrize("pair", sorted(set(PAIRS) - set(CONTRADICTIONS)), ids="+".join)
def test_of_two_variants_the_stronger_keeps_all_its_keys(pair):
    strength = {name: place for place, group in enumerate(STRENGTHS) for name in group}
    weaker, stronger = sorted(pair, key=lambda name: strength[name])
    config = demo.get_config(f"{stronger}+{weaker}")
    for key, value in VARIANTS[stronger].items():
        assert attrgetter(key)(config) == value, key
    for key, value in VARIANTS[weaker].items():
        assert key in VARIANTS[stronger] or attrgetter(key)(config) == value, key


def test_a_row_of_no_adaptation_stays_one_in_a_smoke_run():
    assert demo.get_config("smoke+source_only").adapt.epochs == 0
    assert demo.get_config("source_only+smoke").adapt.epochs == 0
    assert demo.get_config("smoke").adapt.epochs == 2


@pytest.mark.parametrize("variant", ["idm+msinet", "msinet+idm", "idm+msinet+smoke"])
def test_idm_on_msinet_is_a_row_of_table_2(variant):
    config = demo.get_config(variant)
    assert (config.method, config.model.backbone, config.model.pretrained) == ("idm", "msinet", "")
    assert config.model.msinet.widths == ((8, 16, 16, 16) if "smoke" in variant else (64, 256, 384, 512))


def test_clip_is_normalised_as_its_weights_were_whatever_the_preset():
    assert demo.get_config("clip+released").augment.mean == VARIANTS["clip"]["augment.mean"]


@pytest.mark.parametrize("row", [row for row, keys in ROWS.items() if any("man." in key for key in keys)])
def test_a_row_of_man_s_tables_is_one_of_the_released_code_too(row):
    for config in (demo.get_config(f"{row}+released"), turn(demo.get_config("released"), row)):
        assert config.method == "man_released"
        for key, value in ROWS[row].items():
            assert attrgetter(key)(config) == value
            assert attrgetter(key.replace("man.", "man_released."))(config) == value
    assert demo.get_config(row).man_released == default.get_config().man_released


def test_a_contradiction_names_both_variants_the_key_and_both_values():
    with pytest.raises(ValueError, match="contradict") as refusal:
        demo.get_config("smoke+ins_ins+no_mma+proto_proto")
    assert str(refusal.value) == (
        "variants 'ins_ins' and 'proto_proto' contradict each other: config.man.domain_pairs is 'ins_ins' in the one "
        "and 'proto_proto' in the other; leave one of them out"
    )


def test_the_released_rate_of_the_source_contradicts_the_paper_s_too():
    with pytest.raises(ValueError, match=r"'released' and 'paper' contradict"):
        msvr310_to_wmveid863.get_config("released+paper")


@pytest.mark.parametrize("name", ["no_cpa+no_cpa", "smoke+vit+smoke"])
def test_a_variant_named_twice_is_refused(name):
    with pytest.raises(ValueError, match=r"variant '(no_cpa|smoke)' is named twice"):
        demo.get_config(name)


@pytest.mark.parametrize(
    ("name", "near"), [("smok", "smoke"), ("no_cap+smoke", "no_cpa"), ("vit+clp", "clip")]
)
def test_a_misspelt_variant_is_answered_with_the_nearest(name, near):
    with pytest.raises(ValueError, match=rf"did you mean {near}\?"):
        demo.get_config(name)


@pytest.mark.parametrize("name", ["smoke+", "+smoke", "smoke++vit", "smoke,vit", "SMOKE"])
def test_what_is_no_variant_is_refused_with_the_list(name):
    with pytest.raises(ValueError, match=r"is none of paper, plus, released, .*; join several with \+"):
        demo.get_config(name)

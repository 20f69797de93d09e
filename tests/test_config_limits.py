"""All that is wrong with a configuration, told at once."""

import math
import re

import jax
import pytest

from man_jax.config import ConfigError, check_config
from man_jax.networks.msinet import MSINet
from tests.test_config import changed


def refused(**changes) -> list[str]:
    with pytest.raises(ConfigError) as told:
        check_config(changed(**changes), num_devices=8)
    return str(told.value).splitlines()


def test_all_limits_that_are_broken_are_told_at_once_one_line_a_key():
    lines = refused(
        seed=-1,
        adapt__labels="nonsense",
        batch__instances=1,
        data__image_size=(32,),
        evaluation__batch_size=20,
        man__alpha=math.inf,
        model__modalities=("T", "R"),
        pretrain__epochs=0,
    )
    keys = [re.search(r"config\.([a-z_.]+[a-z])", line)[1] for line in lines]
    assert keys == [
        "adapt.labels",
        "seed",
        "man.alpha",
        "data.image_size",
        "model.modalities",
        "pretrain.epochs",
        "batch",
        "evaluation.batch_size",
    ]


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"evaluation__batch_size": 0}, ["evaluation.batch_size"]),
        ({"model__backbone": "vit", "model__vit__heads": 0}, ["model.vit.heads"]),
        ({"model__backbone": "vit", "model__vit__patch": 0}, ["model.vit.patch"]),
        ({"model__backbone": "vit", "data__image_size": ()}, ["data.image_size"]),
        ({"model__backbone": "nonsense", "model__vit__heads": 7}, ["model.backbone"]),
        ({"pretrain__epochs": -1}, ["pretrain.epochs"]),
        ({"model__modalities": ("X",), "evaluation__modalities": ("R",)}, ["model.modalities"]),
        ({"augment__mean": ("a", "b", "c")}, ["augment.mean"]),
        ({"augment__erase_area": ("a", 1)}, ["augment.erase_area"]),
        ({"model__stage_sizes": ()}, ["model.stage_sizes"]),
        ({"model__stage_sizes": (3, 0)}, ["model.stage_sizes"]),
        ({"model__stage_sizes": (3, 1.5)}, ["model.stage_sizes"]),
    ],
)
def test_what_is_computed_from_a_broken_key_is_not_told_besides(changes, keys):
    assert [re.search(r"config\.([a-z_.]+[a-z])", line)[1] for line in refused(**changes)] == keys


@pytest.mark.parametrize(
    ("changes", "num_devices", "message"),
    [
        ({"batch__instances": 1}, 1, r"4 identities × 1 instances; a triplet needs at least 2 × 2"),
        ({"batch__identities": 1}, 1, r"1 identities × 8 instances; a triplet needs at least 2 × 2"),
        (
            {"batch__identities": 15, "batch__instances": 4},
            8,
            r"identities × config\.batch\.instances = 60 is not divisible by 8 devices; make it 56 or 64",
        ),
        (
            {"evaluation__batch_size": 20},
            8,
            r"config\.evaluation\.batch_size = 20 is not divisible by 8 devices; make it 16 or 24",
        ),
        (
            {"model__norm_groups": 3},
            1,
            r"norm_groups is 3, but a batch has 32 triples.*equal parts of at least two",
        ),
        (
            {"model__norm_groups": 32},
            1,
            r"norm_groups is 32, but a batch has 32 triples.*equal parts of at least two",
        ),
        ({"evaluation__batch_size": 5}, 8, r"5 is not divisible by 8 devices; make it 8$"),
        ({"data__image_size": (32,)}, 1, r"config\.data\.image_size is \(32,\); give height and width"),
        ({"data__image_size": (0, 64)}, 1, r"config\.data\.image_size is \(0, 64\).*each at least 1"),
        ({"data__image_size": (32.5, 64)}, 1, r"config\.data\.image_size is \(32\.5, 64\).*whole pixels"),
        (
            {"data__image_size": (32,), "model__backbone": "vit"},
            1,
            r"config\.data\.image_size is \(32,\); give height and width",
        ),
        (
            {"man__temperature": 0.0},
            1,
            r"config\.man\.temperature is 0\.0; it must be at least 1e-06 and",
        ),
        ({"man__alpha": math.inf}, 1, r"config\.man\.alpha is inf; it must be at least 0 and finite"),
        ({"man__beta": math.nan}, 1, r"config\.man\.beta is nan; it must be at least 0 and finite"),
        (
            {"model__backbone": "vit", "model__vit__heads": 7},
            1,
            r"config\.model\.vit\.width is 768, which 7 heads .* do not divide",
        ),
        ({"model__backbone": "vit", "model__vit__stride": 17}, 1, r"patch is 16 and stride 17.*no longer"),
        ({"model__backbone": "clip", "data__image_size": (64, 8)}, 1, r"the images are 64 × 8; a patch must"),
        ({"model__backbone": "clip", "model__remat": "stage"}, 1, r"a clip has no stages; choose none or"),
        (
            {"pretrain__init_from": "runs/other", "model__pretrained": "resnet50.pth"},
            1,
            r"init_from is 'runs/other' and config\.model\.pretrained is 'resnet50\.pth'.*empty one of them",
        ),
        (
            {"adapt__init_from": "runs/other", "pretrain__init_from": "runs/more"},
            1,
            r"config\.adapt\.init_from is 'runs/other' and config\.pretrain\.init_from is 'runs/more'.*empty one",
        ),
        ({"man__temperature": float("nan")}, 1, r"config\.man\.temperature is nan; it must be at least"),
        (
            {"man__threshold": float("nan")},
            1,
            r"config\.man\.threshold is nan; it must be between 0 and 1",
        ),
        (
            {"augment__mean": (0.5, 0.5)},
            1,
            r"config\.augment\.mean is \(0\.5, 0\.5\); give a number for each",
        ),
        ({"augment__std": (0.5, 0.0, 0.5)}, 1, r"config\.augment\.std is .* colour channels, each above 0"),
        ({"augment__std": (0.5,) * 4}, 1, r"config\.augment\.std is .* each of the three colour channels"),
        ({"augment__erase_area": (0.5, 0.1)}, 1, r"config\.augment\.erase_area is \(0\.5, 0\.1\).*at most 1"),
        ({"augment__erase_area": (0.1, 1.1)}, 1, r"config\.augment\.erase_area is \(0\.1, 1\.1\).*at most 1"),
        ({"augment__erase_aspect": (0.0, 3.0)}, 1, r"config\.augment\.erase_aspect is .*both above 0$"),
        ({"model__modalities": ()}, 1, r"config\.model\.modalities is \(\); name some of \('R', 'N', 'T'\)"),
        ({"model__modalities": ("T", "R")}, 1, r"config\.model\.modalities .* each once and in this order"),
        ({"model__modalities": ("R", "R")}, 1, r"config\.model\.modalities .* each once and in this order"),
        (
            {"model__modalities": ("R", "T"), "evaluation__modalities": ("N",)},
            1,
            r"config\.evaluation\.modalities is \('N',\); name some of \('R', 'T'\)",
        ),
        ({"pretrain__epochs": 0}, 1, r"epochs is 0 and config\.pretrain\.init_from is empty.*give either"),
    ],
)
def test_what_cannot_work_is_refused_with_value_limit_and_remedy(changes, num_devices, message):
    with pytest.raises(ConfigError, match=message):
        check_config(changed(**changes), num_devices=num_devices)


@pytest.mark.parametrize("modalities", [("R",), ("N", "T"), ("R", "N", "T")])
def test_any_modalities_in_their_order_may_be_trained_on_and_any_of_these_tested_with(modalities):
    for present in ((), modalities[:1], modalities):
        check_config(changed(model__modalities=modalities, evaluation__modalities=present), num_devices=1)


def test_without_pretraining_another_run_s_weights_will_do():
    check_config(changed(pretrain__epochs=0, pretrain__init_from="runs/other"), num_devices=1)


def test_what_a_method_needs_of_the_network_and_the_views_is_asked_for_only_where_it_adapts(monkeypatch):
    monkeypatch.setattr("man_jax.methods.needs_of", lambda _: ("stages", "views"))
    still = {"augment__flip": 0.0, "augment__pad": 0, "augment__erase": 0.0}
    backbone, views = refused(model__backbone="vit", **still)
    assert (
        "gives no maps stage by stage, and the method man reads them; choose resnet, msinet, or" in backbone
    )
    assert "flip, pad and erase are all 0, and the method man compares two views" in views
    check_config(changed(model__backbone="resnet", **still | {"augment__pad": 1}), num_devices=8)
    check_config(changed(model__backbone="vit", adapt__epochs=0, **still), num_devices=8)


def test_a_method_that_learns_from_both_domains_is_refused_without_the_source():
    (line,) = refused(method="idm", adapt__protocol="us")
    assert "the method idm learns from both domains; choose uda, or another method" in line
    check_config(changed(method="idm", adapt__protocol="us", adapt__epochs=0), num_devices=8)


def test_a_stage_that_the_backbone_does_not_have_is_refused_with_those_it_has():
    (line,) = refused(method="idm", idm__stage=5)
    assert line == ("config.idm.stage is 5, and the last stage of the resnet is 4; choose 0 (the stem) to 4")
    check_config(changed(method="idm", idm__stage=4), num_devices=8)
    assert len(refused(method="idm", idm__stage=3, model__stage_sizes=(1, 1))) == 1
    assert len(refused(method="idm", idm__stage=9, model__stage_sizes=())) == 1
    check_config(changed(method="man", idm__stage=9), num_devices=8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (64,)}, r"widths is \(64,\); give the channels of the stem and of one or more stages"),
        ({"widths": (64, 0)}, r"widths is \(64, 0\); give the channels"),
        ({"widths": (64, 6, 8, 8)}, r"make those of the stages multiples of 4"),
        ({"widths": (64, 8)}, r"1 stages \(config\.model\.msinet\.widths\) need 4 of them"),
        ({"interactions": ("ag",) * 11}, r"need 12 of them, each one of none, exc, ag, cross_att"),
        ({"interactions": ("se",) * 12}, r"interactions is \('se', .*each one of none, exc, ag, cross_att"),
        ({"half_channels": -1}, r"half_channels is -1; it must be at least 0"),
    ],
)
def test_an_msinet_that_cannot_be_built_is_refused(changes, message):
    keys = {f"model__msinet__{name}": value for name, value in changes.items()}
    (line,) = refused(model__backbone="msinet", **keys)
    assert re.search(message, line)
    if "half_channels" not in changes:
        check_config(changed(**keys), num_devices=8)


@pytest.mark.parametrize(
    ("size", "half_channels", "fits"),
    [
        ((13, 13), 0, True),
        ((12, 13), 0, False),
        ((13, 12), 0, False),
        ((29, 13), 8, True),
        ((28, 13), 8, False),
    ],
)
def test_images_of_which_no_place_would_be_left_are_refused(size, half_channels, fits):
    changes = {"model__backbone": "msinet", "data__image_size": size, "augment__pad": 0}
    changes |= {"model__msinet__half_channels": half_channels}
    network = MSINet(half_channels=half_channels)
    images = jax.ShapeDtypeStruct((1, *size, 3), "float32")
    maps = jax.eval_shape(
        lambda x: network.init_with_output(jax.random.key(0), x, train=False, method="maps"), images
    )
    *_, height, width, _ = maps[0][-1].shape
    assert (height >= (2 if half_channels else 1) and width >= 1) == fits
    if fits:
        check_config(changed(**changes), num_devices=8)
    else:
        (line,) = refused(**changes)
        assert line.endswith(f"make them at least {29 if half_channels else 13} × 13")


def test_the_halves_of_an_msinet_leave_its_last_stage_to_no_method():
    both = {"method": "idm", "model__backbone": "msinet"}
    check_config(changed(**both, idm__stage=3), num_devices=8)
    (line,) = refused(**both, idm__stage=3, model__msinet__half_channels=128)
    assert "the last stage of the msinet is 2" in line
    assert len(refused(**both, idm__stage=3, model__msinet__widths=(64,))) == 1

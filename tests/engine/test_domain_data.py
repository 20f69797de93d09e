import shutil

import numpy as np
import pytest
from absl import logging
from PIL import Image

from data_pipelines.reading.records import DataError
from man_jax import methods
from man_jax.configs import default
from man_jax.engine.domain_data import numbered, open_domains
from tests.data_pipelines.trees import MODALITY_COLOURS, write_triples, write_wmveid863
from tests.engine.splits import new_domain


def test_identities_are_numbered_by_sorted_pid():
    assert numbered(np.array([30, 7, 30, 100, 8])).tolist() == [2, 0, 2, 3, 1]


def test_cameras_are_numbered_by_sorted_camid(tmp_path):
    source, target = open_domains(config_of(tmp_path))
    for domain in (source, target):
        assert domain.cameras.tolist() == numbered(domain.data.train.camids).tolist()
    assert source.cameras.max() > 0


def test_a_triple_without_a_label_has_no_number():
    found = new_domain([-1, 9, -1, 4])
    assert found.identities.tolist() == [-1, 1, -1, 0]
    assert found.num_identities == 2


def test_a_domain_without_any_label_has_no_identities():
    assert new_domain([-1, -1]).num_identities == 0


def test_a_domain_without_training_triples_has_no_identities():
    assert new_domain([]).num_identities == 0


def write_unlabelled(base, modalities):
    write_triples(base / "unlabelled", [f"{i}.jpg" for i in range(4)], modalities)
    write_triples(base / "query", ["7_c1.jpg"], modalities)
    write_triples(base / "gallery", ["7_c2.jpg"], modalities)
    return str(base)


def config_of(tmp_path, *, modalities=("R", "N", "T"), **changes):
    config = default.get_config()
    own = write_unlabelled(tmp_path / "own", modalities)
    config.data.source.update(name="wmveid863", root=str(write_wmveid863(tmp_path / "source")))
    config.data.target.update(name="folder", root=own)
    config.data.update(prepared=str(tmp_path / "out"), image_size=(8, 8))
    config.update_from_flattened_dict(changes)
    return config


def test_a_method_that_compares_cameras_is_refused_where_there_is_only_one(tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "needs_of", lambda _: ("cameras",))
    refused = config_of(tmp_path)  # whose files name no camera
    with pytest.raises(
        DataError, match=r"target: all training triples of folder in \S+ have camid .*man compares"
    ):
        open_domains(refused)
    assert not (tmp_path / "out").exists()
    refused.adapt.epochs = 0  # source only
    open_domains(refused)


def test_an_unlabelled_target_is_opened(tmp_path):
    source, target = open_domains(config_of(tmp_path))
    assert (source.num_identities, target.num_identities) == (2, 0)
    assert target.identities.tolist() == [-1] * 4


def test_each_domain_s_deep_images_are_scaled_from_its_own_range(tmp_path):
    config = config_of(tmp_path)
    for folder in ("source/train/0007/th", "own/unlabelled/T"):
        for path in (tmp_path / folder).iterdir():
            Image.fromarray(np.full((20, 20), 1500, np.uint16)).save(path, format="PNG")
    config.data.source.deep_range, config.data.target.deep_range = (0, 3000), (1000, 3000)
    source, target = open_domains(config)
    assert (source.data.train[0][2] == 128).all()  # 127.5, to the even
    assert (target.data.train[0][2] == 64).all()


def test_training_images_of_both_domains_are_resized_by_the_filter_of_the_configuration(tmp_path):
    config = config_of(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    for path in (tmp_path / "source/train/0007/th/v1_n1_s001_001.jpg", *tmp_path.glob("own/unlabelled/T/*")):
        Image.fromarray(noise).save(path, format="PNG")
    config.data.train_filter = "bicubic"
    height, width = config.data.image_size
    expected = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    for domain in open_domains(config):
        np.testing.assert_array_equal(domain.data.train[0][2], expected)


def test_an_unlabelled_source_is_refused(tmp_path):
    config = config_of(tmp_path)
    config.data.source.update(name="folder", root=config.data.target.root)
    with pytest.raises(
        DataError, match=r"config\.data\.source: folder in .*own: 4 of 4 training triples have"
    ):
        open_domains(config)


def test_both_domains_give_the_modalities_that_are_trained_on(tmp_path):
    chosen = {"model.modalities": ("R", "T")}
    source, target = open_domains(config_of(tmp_path, modalities=("R", "T"), **chosen))
    assert source.data.modalities == target.data.modalities == ("R", "T")
    expected = {source: (0, 2), target: (0, 1)}  # `write_triples` colours by place
    for domain, colours in expected.items():
        for split in (domain.data.train, domain.data.query, domain.data.gallery):
            means = split[0].mean(axis=(1, 2))
            np.testing.assert_allclose(means, np.array(MODALITY_COLOURS)[list(colours)], atol=4)  # JPEG


def test_a_modality_that_a_set_lacks_is_refused_before_anything_is_prepared(tmp_path):
    config = config_of(tmp_path, modalities=("R", "T"))
    config.data.source = config.data.target
    message = r"folder in .*own has the modalities R, T, not N; set config\.model\.modalities to some of \('R', 'T'\)"
    with pytest.raises(DataError, match=message):
        open_domains(config)
    assert not (tmp_path / "out").exists()


def without(tmp_path, config, *folders):
    for folder in folders:
        shutil.rmtree(tmp_path / folder)
    return config


def test_a_source_needs_no_query_and_no_gallery(tmp_path):
    config = without(tmp_path, config_of(tmp_path), "source/query", "source/test")
    source, _ = open_domains(config)
    assert [len(split) for split in (source.data.train, source.data.query, source.data.gallery)] == [3, 0, 0]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["source/train"], r"config\.data\.source: wmveid863 in .*source has no training triple"),
        (["own/unlabelled"], r"config\.data\.target: folder in .*own has no training triple"),
        (
            ["own/query", "own/gallery"],
            r"config\.data\.target, which training scores: folder in .*own cannot be scored: it has no query",
        ),
    ],
)
def test_a_domain_that_lacks_a_split_it_needs_is_refused_before_anything_is_prepared(
    tmp_path, folders, message
):
    config = without(tmp_path, config_of(tmp_path), *folders)
    with pytest.raises(DataError, match=message):
        open_domains(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("frame1.jpg", "frame2.jpg"), "2 of 2 query triples have no identity .*features extracted"),
        (("8_c1.jpg",), "1 of 1 queries have no match in the gallery"),
    ],
)
def test_a_target_that_cannot_be_scored_is_refused_before_anything_is_prepared(tmp_path, names, message):
    config = without(tmp_path, config_of(tmp_path), "own/query")
    write_triples(tmp_path / "own/query", names, ("R", "N", "T"))
    with pytest.raises(DataError, match=f"config.data.target, which training scores: .*{message}"):
        open_domains(config)
    assert not (tmp_path / "out").exists()


def test_the_oracle_needs_a_labelled_target(tmp_path):
    with pytest.raises(
        DataError, match=r"config\.data\.target: .*: 4 of 4 .* config\.adapt\.labels is 'truth'"
    ):
        open_domains(config_of(tmp_path, **{"adapt.labels": "truth"}))


def test_two_copies_of_a_set_are_compared_by_identity(tmp_path, monkeypatch):
    config = config_of(tmp_path)
    copy = write_wmveid863(tmp_path / "copy", {"train": ["0500/v0_x.jpg", "0101/v1_x.jpg"]})
    logged = []
    monkeypatch.setattr(logging, "warning", lambda message, *args: logged.append(message % args))
    config.data.target.update(name="wmveid863", root=str(config.data.source.root))
    config.data.source.root = str(copy)
    open_domains(config)
    assert any("wmveid863 → wmveid863: 1 identities" in text and text.endswith(": 101") for text in logged)

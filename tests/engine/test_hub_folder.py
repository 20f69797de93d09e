"""The folder that `python -m man_jax.export --format hub` writes: what it holds, what its card says, how it loads."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml

from man_jax.config import ConfigError
from man_jax.configs import default
from man_jax.engine import hub_folder
from man_jax.engine.build import build_model
from man_jax.engine.exporting import Wish, check_wish, export
from man_jax.engine.initial_weights import read_backbone
from man_jax.engine.network_facts import network_facts
from man_jax.engine.trained_network import read_weights
from man_jax.networks.pretrained.hub import locate
from man_jax.networks.three_branch import backbone_of
from man_jax.runs.past_config import read_version, run_config
from tests.engine.tiny import QUICKLY

SIZE = (32, 16)
FIGURES = {"mAP": 0.301, "R1": 0.5, "R5": 0.6, "R10": 0.7, "mINP": 0.1}


@pytest.fixture(scope="module")
def variables():
    config = default.get_config()
    config.model.update(stage_sizes=(1,), width=4)
    model = build_model(config.model, num_classes=3)
    drawn = jax.jit(lambda key: model.init(key, SIZE), compiler_options=QUICKLY)(jax.random.key(0))
    return jax.tree.map(np.asarray, drawn)


@pytest.fixture
def config(tmp_path):
    config = default.get_config()
    config.experiment = "tiny"
    config.data.image_size = SIZE
    config.data.source.update(name="rgbnt100", root=str(tmp_path / "drawn/RGBNT100"))
    config.data.target.update(name="wmveid863", root=str(tmp_path / "real/WMVEID863"))
    config.data.prepared = str(tmp_path / "prepared")
    config.model.update(stage_sizes=(1,), width=4, pretrained=str(tmp_path / "resnet50.pth"))
    return config


@pytest.fixture
def run(tmp_path) -> Path:
    """The work directory of a finished run on a drawn source and a target that was not drawn; without checkpoints."""
    (tmp_path / "drawn/RGBNT100").mkdir(parents=True)
    (tmp_path / "drawn/RGBNT100/synthetic.json").write_text("{}")
    (tmp_path / "real/WMVEID863").mkdir(parents=True)
    split = {"triples": 1234, "identities": 56, "fingerprints": {}}
    data = {
        "versions": {"man_jax": "0.1.0"},
        "source": {"name": "rgbnt100", "train": split},
        "target": {"name": "wmveid863", "train": split, "query": split, "gallery": split},
    }
    best = FIGURES | {"mAP": 0.999, "epoch": 3}
    summary = {
        "seed": 7,
        "valid_queries": 120,
        "source_only": FIGURES | {"mAP": 0.25},
        "adapted": FIGURES,
        "best_on_test": best,
    }
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "summary.json").write_text(json.dumps(summary))
    for picture in ("curves.png", "ranking.png"):
        (folder / picture).write_bytes(b"a picture")
    return folder


@pytest.fixture
def write(config, run, variables, tmp_path):
    """Writes the folder of a run, whose configuration may be changed before."""

    def write(weights: str = "step 7", **changes) -> Path:
        config.update_from_flattened_dict(changes)
        facts = network_facts(config, run, weights)
        out = tmp_path / "hub"
        hub_folder.write_hub_folder(out, run, config, facts, variables, half=False, license_name="unknown")
        return out

    return write


@pytest.fixture
def card(write):
    return lambda *words, **changes: (write(*words, **changes) / "README.md").read_text(encoding="utf-8")


# --- what is in it


def test_nothing_in_the_folder_tells_a_path_of_the_machine(write, tmp_path):
    folder = write()
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "config.json", "model.safetensors", "curves.png")
    }
    assert not [path for path in folder.iterdir() if str(tmp_path).encode() in path.read_bytes()]


def test_images_of_a_data_set_are_published_only_if_both_were_drawn(write, tmp_path):
    (tmp_path / "real/synthetic.json").write_text("{}")
    assert (write() / "ranking.png").is_file()


def test_the_configuration_says_what_the_images_must_be(write):
    about = json.loads((write() / "config.json").read_text())
    assert (about["model_type"], about["modalities"]) == ("man_jax", ["R", "N", "T"])
    assert (about["image_size"], about["std"]) == ([32, 16], [0.229, 0.224, 0.225])


# --- what the card says


def test_the_card_begins_with_a_header_that_the_hub_reads(card):
    header = yaml.safe_load(card().split("---\n")[1])
    assert (header["license"], header["library_name"]) == ("unknown", "man_jax")


def test_the_card_says_which_data_were_drawn_and_how_many_there_were(card):
    text = card()
    assert "source: `rgbnt100`, **drawn by a program**" in text
    assert "target: `wmveid863`, images of the user's folder" in text
    assert "| target | query | 1,234 | 56 | 959 triples of 210 identities |" in text
    assert "without the gallery triples of the same pid and same camid" in text


def test_data_that_are_not_at_hand_are_not_said_to_be_real(card, tmp_path):
    (tmp_path / "real/WMVEID863").rmdir()
    assert "target: `wmveid863`, the images were not at hand" in card()


def test_the_card_has_the_figures_of_the_last_epoch_and_not_the_best_on_test(card):
    text = card()
    assert "| after the last epoch of adaptation | 30.1 | 50.0 | 60.0 | 70.0 | 10.0 |" in text
    assert "| before adaptation | 25.0 |" in text
    assert "99.9" not in text
    assert "One run, seed 7, 120 queries; the weights here are those of the last row" in text


def test_weights_before_adaptation_are_not_given_the_figures_after_it(card):
    assert "the weights here are those before adaptation" in card("pre-trained")


def test_an_oracle_is_called_one(card):
    assert "**Adapted with the target's true labels**" in card(**{"adapt.labels": "truth"})


def test_a_run_without_adaptation_has_one_row(card):
    text = card("pre-trained", **{"adapt.epochs": 0})
    assert "there was no adaptation" in text
    assert "after the last epoch of adaptation" not in text


def test_a_run_that_has_not_finished_has_no_figures(card, run):
    (run / "summary.json").unlink()
    assert "had not finished when this card was written, so no figures are given" in card()


def test_the_first_weights_are_told_without_their_folder(card):
    assert "They began from resnet50.pth." in card()


# --- how it loads


def test_training_starts_from_the_folder(write, config, variables):
    folder = write()
    model = config.copy_and_resolve_references().model
    model.pretrained = str(folder)
    assert locate(str(folder)) == folder / "model.safetensors"
    begun = read_backbone(model, SIZE)
    for place in range(3):
        own = jax.tree.map(lambda leaf, place=place: leaf[place], begun.variables)
        jax.tree.map(np.testing.assert_array_equal, own, backbone_of(variables, place))


def test_the_folder_opens_as_a_run_with_its_own_configuration(write, variables):
    folder = write(**{"adapt.num_clusters": 17})
    config = run_config(folder)
    assert (config.adapt.num_clusters, config.model.width, config.experiment) == (17, 4, "tiny")
    assert config.data.target.root == ""
    assert read_version(folder) is not None
    found, description = read_weights(folder, config, pretrained=False)
    assert description == "step 7"
    for name in ("params", "batch_stats"):
        jax.tree.map(np.testing.assert_array_equal, found[name]["branches"], variables[name]["branches"])


def test_weights_of_another_moment_are_not_in_the_folder(write):
    folder = write()
    with pytest.raises(ConfigError, match="hub holds the weights of step 7 only; leave --pretrained out"):
        read_weights(folder, run_config(folder), pretrained=True)


def test_a_folder_of_the_hub_is_not_made_into_another_one(write, tmp_path):
    folder = write()
    wish = Wish(tmp_path / "again", "hub")
    with pytest.raises(
        ConfigError, match=r"hub is a folder of the hub already; copy it, or upload it by `hf upload"
    ):
        list(export(wish, folder, run_config(folder), pretrained=False))


# --- what is refused, and the upload


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/README.md").write_text("mine")
    with pytest.raises(ConfigError, match="mine is not empty; name a new folder"):
        check_wish(Wish(tmp_path / "mine", "hub"))


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"format": "stablehlo", "half": True}, "--half has no meaning with --format stablehlo"),
        ({"push_to": "me/it"}, "--push_to has no meaning with --format safetensors.*--format hub"),
        ({"format": "hub", "modality": "R"}, "--modality has no meaning with --format hub"),
        ({"out": Path("weights.pth")}, r"--out weights\.pth: name a file that ends in \.safetensors"),
        ({"format": "stablehlo", "out": Path("a.bin")}, r"name a file that ends in \.stablehlo"),
    ],
)
def test_flags_that_do_not_belong_together_are_refused(wish, told):
    with pytest.raises(ConfigError, match=told):
        check_wish(Wish(**{"out": Path("x.safetensors")} | wish))


class FakeHub:
    """Keeps what it is asked, or refuses it."""

    def __init__(self, refusal: str = ""):
        self.asked, self.refusal = [], refusal

    def create_repo(self, name, **keywords):
        self.asked.append((name, keywords))
        if self.refusal:
            raise ConnectionError(f"{self.refusal}\nand more")
        return f"https://hub/{name}"

    def upload_folder(self, **keywords):
        self.asked.append(keywords)


def test_the_files_of_the_folder_and_no_others_go_to_a_private_repository(tmp_path):
    hub = FakeHub()
    told = hub_folder.push(tmp_path, ["README.md", "config.json"], "me/it", api=hub)
    assert hub.asked[0] == ("me/it", {"private": True, "exist_ok": True})
    assert (hub.asked[1]["folder_path"], hub.asked[1]["repo_id"]) == (tmp_path, "me/it")
    assert hub.asked[1]["allow_patterns"] == ["README.md", "config.json"]
    assert told.startswith("https://hub/me/it: README.md, config.json uploaded")


def test_a_refused_upload_is_one_line_with_the_command_that_tries_again(tmp_path):
    with pytest.raises(
        ConfigError, match=f"me/it: no route; {tmp_path} is whole, and `hf upload me/it {tmp_path}`"
    ):
        hub_folder.push(tmp_path, [], "me/it", api=FakeHub("no route"))


@pytest.mark.parametrize(
    ("name", "token", "told"),
    [
        ("it", "key", "write it as OWNER/NAME"),
        ("me/..it", "key", "write it as OWNER/NAME"),
        ("me/it", None, "nobody has logged in here; run `hf auth login`"),
    ],
)
def test_an_upload_that_cannot_begin_is_refused_before_any_weights_are_read(monkeypatch, name, token, told):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    with pytest.raises(ConfigError, match=told):
        check_wish(Wish(Path("nowhere"), "hub", push_to=name))

"""What the command of evaluation refuses, and what data it opens; neither needs weights, so a run without any will do.

All commands are answered by one process of their own, because absl defines a flag once and starting costs seconds.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from man_jax.configs import default
from tests.data_pipelines.trees import write_triples

ROOT = Path(__file__).parents[1]
PROGRAM = """
import json, os, sys
from absl import flags, logging
from absl.testing import flagsaver
from data_pipelines.reading.records import DataError
from man_jax import evaluate
from man_jax.config import ConfigError
from man_jax.engine import evaluation
from man_jax.engine import trained_network
from man_jax.engine.trained_network import TrainedNetwork
from man_jax.runs.workdir import WorkdirError

logging.set_verbosity(logging.INFO)
warnings = []
logging.warning = lambda message, *values: warnings.append(message % values)

class Reached(Exception):
    pass

def look(extract, variables, data, **_):
    raise Reached(f"{len(data.train)} {len(data.query)} {len(data.gallery)}, thermal {int(data.query[0][2].mean())}")

evaluation.extract_query_gallery = look
with_weights = lambda *_, **__: TrainedNetwork(None, None, "no weights", None, None)

answers, commands = {}, json.loads(sys.argv[1])
flags.FLAGS(["evaluate", "--run=none"])
for name, words in commands.items():
    warnings.clear()
    original, trained_network.open_trained = trained_network.open_trained, with_weights
    given = dict(word.removeprefix("--").split("=", 1) for word in words)
    try:
        with flagsaver.as_parsed(**given):
            evaluate.main()
    except (ConfigError, DataError, WorkdirError, Reached) as error:
        answers[name] = [str(error), *warnings]
    trained_network.open_trained = original
print(json.dumps(answers))
"""


def write_deep(folder: Path) -> None:
    """Thermal images in 16 bits: all 1000 in the query, from 1000 to 1200 in the gallery."""
    warming = np.linspace(1000, 1200, 24 * 40).reshape(24, 40).astype(np.uint16)
    for split, values in (("query", np.full_like(warming, 1000)), ("gallery", warming)):
        for path in (folder / split / "T").iterdir():
            Image.fromarray(values).save(path, format="PNG")


def write_set(base: Path, **splits: tuple[str, ...]) -> Path:
    for split, names in splits.items():
        write_triples(base / split, names, ("R", "N", "T"))
    return base


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A run that has only its configuration, and data sets beside it."""
    base = tmp_path_factory.mktemp("evaluated")
    labelled = {"query": ("7_c1.jpg",), "gallery": ("7_c2.jpg", "8_c2.jpg")}
    write_deep(write_set(base / "test_only", **labelled))
    write_set(base / "unlabelled", query=("a.jpg", "b.jpg"), gallery=("c.jpg",))
    write_set(base / "unlabelled_queries", query=("a.jpg", "b.jpg"), gallery=("7_c1.jpg",))
    write_set(base / "train_only", train=("7_c1.jpg",))
    write_set(base / "unmatched", query=("7_c1.jpg",), gallery=("7_c1_other.jpg",))
    config = default.get_config()
    config.data.target.update(name="folder", root=str(base / "test_only"), deep_range=(0, 2000))
    config.data.update(prepared=str(base / "prepared"), image_size=(8, 8))
    (base / "run").mkdir()
    (base / "run/config.json").write_text(json.dumps(config.to_dict()))
    return base


@pytest.fixture(scope="module")
def answers(place) -> dict[str, list[str]]:
    """What each command ended with, and its warnings, by name; all begin in the folder `place`."""

    def other(name: str, *words: str) -> list[str]:
        return ["--run=run", "--dataset=folder", f"--root={name}", *words]

    commands = {
        "as the target": ["--run=run"],
        "another range": ["--run=run", "--deep_range=500,1500"],
        "a wide range": ["--run=run", "--deep_range=0,65535"],
        "no range": ["--run=run", "--deep_range=all"],
        "a falling range": ["--run=run", "--deep_range=9,3"],
        "an absolute run": [f"--run={place / 'run'}"],
        "no run": ["--run=runs/none"],
        "unlabelled": other("unlabelled"),
        "unlabelled queries": other("unlabelled_queries"),
        "train only": other("train_only"),
        "unmatched": other("unmatched"),
        "nothing there": other("data/nowhere"),
        "unmatched, no rule": other("unmatched", "--protocol=none"),
        "no scenes": ["--run=run", "--protocol=scene"],
        "too few to re-rank": ["--run=run", "--rerank=true"],
        "k2 above k1": ["--run=run", "--rerank=1,2,0.3"],
        "too few to expand by": ["--run=run", "--query_expansion=3"],
        "one identity": ["--run=run", "--bootstrap=100"],
        "two weights": ["--run=run", "--pretrained=true", "--every_checkpoint=true"],
        "no checkpoint": ["--run=run", "--every_checkpoint=true"],
    }
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=place,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


def test_a_set_of_query_and_gallery_alone_is_evaluated(answers):
    assert answers["as the target"][0].startswith("0 1 2, ")
    assert any("no training triple" in text for text in answers["as the target"][1:])


def test_deep_images_are_scaled_from_the_target_s_range_unless_the_flag_gives_another(answers):
    assert answers["as the target"][0].endswith("thermal 128")  # 127.5, to the even
    assert answers["an absolute run"] == answers["as the target"]
    assert answers["another range"][0].endswith("thermal 128")
    assert answers["a wide range"][0].endswith("thermal 4")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no range", "--deep_range is 'all'; write it as in --deep_range=0,16383, with whole numbers"),
        ("a falling range", "deep_range is 9, 3; it must be two rising values"),
    ],
)
def test_a_range_that_is_none_is_answered_with_an_example(answers, name, message):
    assert message in answers[name][0]


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("unlabelled", ["2 of 2 query and 1 of 1 gallery triples have no identity", "extract_table"]),
        ("unlabelled queries", ["2 of 2 query triples have no identity", "give each an identity, or leave"]),
        ("train only", ["no query and no gallery", "give it both, with identities"]),
        ("unmatched", ["1 of 1 queries have no match in the gallery"]),
    ],
)
def test_a_set_that_cannot_be_scored_is_refused_with_what_can_be_done(answers, name, messages):
    assert all(message in answers[name][0] for message in messages)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no scenes", "cannot be judged by the rule 'same pid and same scene': 3 of 3"),
        ("too few to re-rank", "--rerank: k1 is 20, but queries and gallery together are 3"),
        ("k2 above k1", "--rerank: k2 is 2, and k1 is 1; choose 1 <= k2 <= k1"),
        ("too few to expand by", "--query_expansion: k is 3, but the gallery has 2 entries"),
        ("one identity", "--bootstrap 100: all queries of folder in"),
        ("two weights", "--pretrained and --every_checkpoint: give one of them"),
        ("no checkpoint", "run/checkpoints holds no checkpoint"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_prepared(answers, name, message):
    assert message in answers[name][0]


def test_a_set_whose_matches_its_own_rule_removes_is_evaluated_by_another(answers):
    assert answers["unmatched, no rule"][0].startswith("0 1 1, ")


def test_nothing_is_prepared_of_what_is_refused(answers, place):
    assert len(answers) == 20
    # The three ranges of the set that is evaluated, and the set that is evaluated without a rule.
    assert len(list((place / "prepared").iterdir())) == 4


def test_the_advice_on_deep_images_names_the_flag_of_this_command(answers):
    assert any("; --deep_range=1000,1200 would" in text for text in answers["a wide range"])


@pytest.mark.parametrize(
    ("name", "relative"), [("no run", "runs/none/config.json"), ("nothing there", "data/nowhere")]
)
def test_a_relative_path_that_leads_nowhere_is_told_in_full(answers, place, name, relative):
    assert f"{place / relative} does not exist" in answers[name][0]


def test_data_below_a_relative_root_says_from_where_it_counts(answers, place):
    assert f"(data/nowhere counts from the current folder, {place})" in answers["nothing there"][0]

"""What the command of searching prints, writes, serves and refuses, with a network that is drawn.

All commands are answered by one process of their own, because absl defines a flag once and starting costs seconds.
"""

import csv
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from man_jax.retrieval.feature_file import write_features
from man_jax.retrieval.gallery import chosen_rows
from tests.quick_programs import QUICK
from tests.retrieval.feature_files import write_triples

ROOT = Path(__file__).parents[1]
PROGRAM = """
import contextlib, io, json, sys
from types import SimpleNamespace
from absl import flags
from absl.testing import flagsaver
from data_pipelines.reading.records import DataError
from man_jax import search, trained_run
from man_jax.config import ConfigError
from man_jax.retrieval.errors import FeatureFileError
from man_jax.retrieval.feature_file import read_features

class Run:
    modalities, about, description = ("R", "N", "T"), {"digest": "ab"}, "step 3"
    config = SimpleNamespace(data=SimpleNamespace(target=SimpleNamespace(deep_range=(0, 16383))))
    def features(self, triples, modalities, *, deep_range=None):
        print("asked for", triples if isinstance(triples, list) else str(triples), modalities, deep_range)
        return read_features(sys.argv[2])

trained_run.open_run = lambda path, pretrained: Run()
answers, commands = {}, json.loads(sys.argv[1])
flags.FLAGS(["search", "--gallery=none"])
for name, words in commands.items():
    given = dict(word.removeprefix("--").split("=", 1) for word in words)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            with flagsaver.as_parsed(**given):
                search.main()
        except (ConfigError, DataError, FeatureFileError) as error:
            print("refused:", error)
    answers[name] = printed.getvalue()
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    gallery = write_triples(folder, split="gallery", pids=[1, 1, 2, 2, 3, 3])
    query = write_triples(folder, split="query", pids=[1, 2, 3], seed=5)
    write_features(folder / "gallery.npz", gallery._replace(about={"digest": "ab"}))
    write_features(folder / "query.npz", query)
    write_features(folder / "query.parquet", query)
    write_features(folder / "one.npz", chosen_rows(query, [1]))
    write_features(folder / "other.npz", query._replace(about={"digest": "cd"}))
    write_features(folder / "wide.npz", query._replace(features=query.features[:, :8]))
    write_features(folder / "thermal.npz", query._replace(modalities=("R", "T")))
    (folder / "file").write_text("")
    return folder


@pytest.fixture(scope="module")
def answers(folder):
    gallery = f"--gallery={folder}/gallery.npz"
    run, out = "--run=demo", f"--out={folder}/out"
    commands = {
        "printed": [gallery, f"--query={folder}/query.npz", "--k=2"],
        "parquet": [gallery, f"--query={folder}/query.parquet", "--k=2"],
        "written": [gallery, f"--query={folder}/query.npz", "--k=2", out],
        "approximate": [gallery, f"--query={folder}/query.npz", "--k=2", "--approximate=true"],
        "itself": [gallery, f"--query={folder}/gallery.npz", "--k=1"],
        "nothing left out": [gallery, f"--query={folder}/gallery.npz", "--k=1", "--leave_out=nothing"],
        "folder": [gallery, run, f"--query={folder}/query"],
        "triple": [gallery, run, "--query=r.png, n.png"],
        "features with a run": [gallery, run, f"--query={folder}/query.npz"],
        "three files": [gallery, run, "--query=r.png,n.png,t.png"],
        "no query": [gallery],
        "out without a query": [gallery, "--serve=true", out],
        "out is a file": [gallery, f"--query={folder}/query.npz", f"--out={folder}/file"],
        "out cannot be made": [gallery, run, f"--query={folder}/query", f"--out={folder}/file/out"],
        "an empty query": [gallery, "--query="],
        "pretrained without a run": [gallery, f"--query={folder}/query.npz", "--pretrained=true"],
        "pictures without a run": [gallery, f"--query={folder}/query"],
        "triple without a run": [gallery, "--query=r.png,n.png"],
        "no such query": [gallery, f"--query={folder}/nowhere.npz"],
        "no such gallery": [f"--gallery={folder}/nowhere.npz", f"--query={folder}/query.npz"],
        "another network": [gallery, f"--query={folder}/other.npz"],
        "another network's run": [f"--gallery={folder}/other.npz", run, f"--query={folder}/query"],
        "a modality too many": [gallery, f"--query={folder}/thermal.npz"],
        "another width": [gallery, f"--query={folder}/wide.npz"],
        "no such home": [gallery, run, "--query=~nobody_of_this_name/r.png"],
    }
    command = [sys.executable, "-c", PROGRAM, json.dumps(commands), f"{folder}/one.npz"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_matches_are_printed_with_the_kind_of_search(answers):
    lines = answers["printed"].splitlines()
    assert lines[0].endswith("gallery.npz: 6 triples; exact search")
    assert lines[1] == "1_c0_0.png (pid 1, camid 0)"
    assert lines[-1] == "the first match is right for 3 of 3 queries whose pid is in the gallery"


def test_a_query_may_be_a_parquet_file(answers):
    assert answers["parquet"] == answers["printed"]


def test_an_approximate_search_tells_its_recall(answers):
    lines = answers["approximate"].splitlines()
    assert lines[0].endswith("approximate search, recall@2 1.0000 against the exact one on 3 queries")
    assert lines[1:] == answers["printed"].splitlines()[1:]


def test_a_table_and_a_picture_are_written(answers, folder):
    assert "out: matches.csv, and matches.png of 3 of 3 queries" in answers["written"]
    with (folder / "out" / "matches.csv").open() as file:
        assert [row["right"] for row in csv.DictReader(file)] == ["1"] * 6
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["matches.csv", "matches.png"]


def test_a_query_is_no_match_of_itself_unless_that_is_asked_for(answers):
    assert " 0.0000 " not in answers["itself"]
    assert answers["nothing left out"].count(" 0.0000 ") == 6


def test_pictures_get_their_features_from_the_run_by_its_range_of_raw_values(answers, folder):
    assert f"asked for {folder}/query ('R', 'N') (0, 16383)" in answers["folder"]
    assert "asked for [(PosixPath('r.png'), PosixPath('n.png'))] ('R', 'N') (0, 16383)" in answers["triple"]
    assert "2_c1_1.png (pid 2, camid 1)" in answers["triple"]
    assert "asked for" not in answers["features with a run"]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("three files", "--query r.png,n.png,t.png names 3 files; one triple has 2, of the modalities R, N"),
        ("no query", "--query is missing; name a query, or add --serve"),
        ("out without a query", "--out needs a --query"),
        ("out is a file", "file is a file; name a folder"),
        ("out cannot be made", "file/out: cannot be written .*; nothing was searched"),
        ("an empty query", "--query is missing"),
        ("pretrained without a run", "--pretrained is about the weights of a run; add --run"),
        ("pictures without a run", "query: add --run, whose network makes features of pictures"),
        ("triple without a run", "--query r.png,n.png: add --run"),
        ("no such query", "nowhere.npz does not exist"),
        ("no such gallery", "nowhere.npz does not exist"),
        ("another network", "other.npz and .*gallery.npz are not of the same network"),
        ("another network's run", "--run demo and .*other.npz are not of the same network"),
        ("a modality too many", "thermal.npz has features of the modalities RT, .*gallery.npz of RN"),
        ("another width", "wide.npz has features of 8 numbers, .*gallery.npz of 16"),
        ("no such home", "there is no home folder ~nobody_of_this_name"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_one_line(answers, case, message):
    line = answers[case].removeprefix("refused: ").rstrip("\n")
    assert answers[case].startswith("refused: ")
    assert "\n" not in line
    assert re.search(message, line)


def test_the_page_is_served_until_the_command_is_ended(folder):
    command = [sys.executable, "-m", "man_jax.search", "--gallery", str(folder / "gallery.npz"), "--serve"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | QUICK, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        address = process.stdout.readline().split()[1]
        with urllib.request.urlopen(f"{address}queries?start=0", timeout=30) as answer:
            assert json.load(answer)["total"] == 6
        taken = subprocess.run(
            [*command, "--port", address.rstrip("/").rpartition(":")[2]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + 15
    assert told.strip() == "interrupted by SIGTERM; the page is closed"
    assert taken.returncode == 1
    assert re.fullmatch(
        r"error: --port \d+ cannot be used \(.*\); choose another one, or 0 for any free one\n", taken.stderr
    )

"""The command that writes features, as a user runs it, and what it refuses before any work."""

import re
from pathlib import Path

import numpy as np
import pytest

import man_jax
from man_jax.retrieval.feature_file import read_features
from tests.quick_programs import QUICK
from tests.small_run import write_run, write_set, write_triples
from tests.starts import End, Moment, Starts

NAMES = tuple(f"{number}.png" for number in range(11))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A run and folders of triples; some of them have a fault."""
    base = tmp_path_factory.mktemp("predicted")
    write_set(base)
    write_run(base)
    write_triples(base / "photos", NAMES, seed=7)
    write_triples(base / "partnerless", ("a.png", "b.png"), seed=7)
    (base / "partnerless/N/b.png").unlink()
    (base / "folder.npz").mkdir()
    (base / "empty").mkdir()
    (base / "there.npz").write_bytes(b"precious")
    return base


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    """Starts of commands that share a cache of compiled programs."""
    cache = str(tmp_path_factory.mktemp("cache"))
    with Starts(**QUICK, JAX_COMPILATION_CACHE_DIR=cache) as starts:
        yield starts


@pytest.fixture
def predict(base, starts):
    def predict(*words: str, data: str = "photos", out: Path | str, moment: Moment | None = None) -> End:
        places = [f"--run={base / 'run'}", f"--data={base / data}", f"--out={base / out}"]
        given = {word.partition("=")[0] for word in words}
        return starts.start(
            "man_jax.predict",
            *(each for each in places if each.partition("=")[0] not in given),
            *words,
            moment=moment,
        )

    return predict


def test_the_features_of_a_folder_are_written_with_their_paths(predict, base):
    out = base / "out/features.npz"
    end = predict("--batch_size=4", out=out)
    assert end.status == 0, end.output
    found, wanted = read_features(out), man_jax.open_run(base / "run").features(base / "photos")
    np.testing.assert_allclose(found.features, wanted.features, atol=1e-6)
    assert (found.paths, found.modalities) == (wanted.paths, wanted.modalities)
    assert found.about == wanted.about
    assert re.search(r"11 triples in [\d.]+ s: [\d.e+]+ triples/s", end.output)
    assert f"{out}: 11 triples of R+N+T, {found.features.shape[1]} numbers each" in end.output
    assert [path.name for path in out.parent.glob("*.partial")] == []


def test_flags_choose_modalities_weights_and_a_split_and_a_file_is_replaced_if_that_is_said(predict, base):
    (base / "old.parquet").write_bytes(b"old")
    words = (
        *("--modalities=TR", "--pretrained", "--split=gallery", "--overwrite"),
        f"--projector={base / 'shown'}",
    )
    end = predict(*words, data="mine", out="old.parquet")
    assert end.status == 0, end.output
    found = read_features(base / "old.parquet")
    assert (found.modalities, found.about["weights"], len(found.paths)) == (("R", "T"), "pre-trained", 5)
    assert found.pids.tolist() == [7, 7, 8, 8, 9]
    assert len(list((base / "shown").rglob("sprite.png"))) == 1


REFUSED = {
    "another kind": (["--out=features.csv"], {}, "end in .npz or .parquet"),
    "there already": ([], {"out": "there.npz"}, "there.npz exists; name another file, or add --overwrite"),
    "a folder": ([], {"out": "folder.npz"}, "is a folder; name a file in it"),
    "below a file": ([], {"out": "there.npz/features.npz"}, "cannot be written"),
    "shown there already": (["--projector=tests"], {}, "tests exists; name a new folder"),
    "no run": (["--run=empty"], {}, "config.json does not exist; name the work directory"),
    "no partner": ([], {"data": "partnerless"}, "2 images lack a partner"),
    "range": (["--deep_range=9,3"], {}, "deep_range is 9, 3"),
    "no range": (["--deep_range=all"], {}, "write it as in --deep_range=0,16383"),
    "batch": (["--batch_size=0"], {}, "--batch_size=0"),
    "argument": (["photos"], {}, "unexpected argument 'photos'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_told_in_one_line_before_any_work(predict, base, name):
    words, places, message = REFUSED[name]
    before = sorted(base.rglob("*"))
    end = predict(*words, **{"out": "new/features.npz"} | places)
    assert end.status == 1, end.output
    [told] = [line for line in end.output.splitlines() if line.startswith("error: ")]
    assert message in told
    assert "Traceback" not in end.output
    assert "compil" not in end.output
    assert sorted(base.rglob("*")) == before
    assert (base / "there.npz").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("event", "status", "message"),
    [
        ("SIGINT", 130, "is not written; start the same command again"),
        (500, 1, "raise the limit of a file's size (ulimit -f); nothing of the file is left"),
    ],
)
def test_what_ends_amid_the_writing_leaves_no_half_file(predict, base, event, status, message):
    moment = Moment("man_jax.retrieval.feature_file:_write_npz", 1, event)
    end = predict(out="stopped/features.npz", moment=moment)
    assert end.status == status, end.output
    assert message in end.output
    assert "Traceback" not in end.output
    assert list((base / "stopped").iterdir()) == []

"""What --config and its overrides may be, and the line that anything else is answered with."""

import re
from pathlib import Path

import pytest

from man_jax.commands import expand_paths
from man_jax.config import PATHS, ConfigError
from man_jax.configs import default, demo
from man_jax.experiment_flags import check_experiment, load_experiment
from tests.test_config import from_flags, through_flags

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.chdir(ROOT)


def refusal(*words: str) -> list[str]:
    with pytest.raises(ConfigError) as told:
        check_experiment(["train", *words])
    return str(told.value).splitlines()


def only(*words: str) -> str:
    (line,) = refusal(*words)
    return line


# --- which experiment


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "configs/demo.py"],
        ["--config=configs/demo.py:no_cpa+smoke", "--config.seed=3"],
        ["-config", "configs/demo.py", "--config.man.alpha", "1e-2", "--workdir", "x"],
        ["--config=configs/demo.py", "--config.augment.per_modality", "--noconfig.adapt.decay_norms"],
        [
            "--config=configs/demo.py",
            "--config.data.image_size=(64, 32)",
            "--config.evaluation.modalities=('R',)",
        ],
        ["--config=configs/demo.py", "--config.pretrain.init_from=", "--config.man.momentum=1"],
        ["--config=configs/demo.py", "--", "--config.nothing=1"],
    ],
)
def test_what_can_be_parsed_is_let_pass(words):
    check_experiment(["train", *words])


@through_flags
@pytest.mark.parametrize(
    "word",
    [
        "--config.seed=1e3",
        "--config.seed=0x10",
        "--config.man.alpha=abc",
        "--config.man.alpha=nan",
        "--config.man.alpha=1_0",
        "--config.augment.per_modality=yes",
        "--config.augment.per_modality=1",
        "--config.adapt.epochs=",
        "--config.adapt.epochs= 3",
    ],
)
def test_a_value_is_refused_exactly_where_the_flags_cannot_parse_it(word):
    def passes(parse) -> bool:
        try:
            parse()
        except Exception:
            return False
        return True

    ours = passes(lambda: check_experiment(["train", "--config=configs/demo.py", word]))
    assert ours == passes(lambda: from_flags(word))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("dmeo", "configs/demo.py"),
        ("configs/demo", "configs/demo.py"),
        ("dmeo.py", "configs/demo.py"),
        ("dmeo:smoke", "configs/demo.py"),
        ("rgbnt100_to_wmveid", "configs/rgbnt100_to_wmveid863.py"),
    ],
)
def test_a_file_that_does_not_exist_is_answered_with_the_nearest_and_all_there_are(name, near):
    line = only("--config", name)
    assert f"does not exist; did you mean {near}?" in line
    assert "configs/msvr310_to_wmveid863.py" in line
    assert "variants.py" not in line


def test_from_another_folder_the_experiments_are_shown_by_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "did you mean demo? Otherwise name one of demo, demo_reversed," in only(
        "--config", "configs/demo.py"
    )


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ([], "--config is missing; name one of configs/demo.py, "),
        (["--config.seed=1"], "--config is missing; name one of configs/demo.py, "),
        (["--config"], "--config has no value; name one of configs/demo.py, "),
        (["--config="], "--config has no value; name one of"),
        (["--config", "--config.seed=1"], "--config has no value; name one of"),
        (["--config", "configs"], "--config configs is a folder; name one of"),
        (["--config=configs/demo.py:"], "--config configs/demo.py:: nothing stands behind the colon"),
        (
            ["--config=configs/variants.py"],
            "--config configs/variants.py: it has no function get_config; name",
        ),
        (["--config=README.md"], "--config README.md is no Python file; name one of"),
        (
            ["--config=configs/demo.py:foo"],
            "--config configs/demo.py:foo: variant 'foo' is none of paper, plus, released,",
        ),
        (
            ["--config=configs/demo.py:vit+clip"],
            "--config configs/demo.py:vit+clip: variants 'vit' and 'clip' contra",
        ),
        (
            ["--config=configs/default.py:vit"],
            "--config configs/default.py:vit: its get_config takes no variant",
        ),
        (
            ["--config=configs/demo.py", "--config", "configs/demo.py:smoke"],
            "--config is given 2 times (configs/demo.py, configs/demo.py:smoke); give it once",
        ),
    ],
)
def test_what_names_no_experiment_is_one_line_with_the_remedy(words, start):
    assert only(*words).startswith(start)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def get_config(:\n", "line 1: invalid syntax"),
        ("import no_such_module\n", "line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def get_config():\n    return missing\n", "line 2: NameError: name 'missing' is not defined"),
        ("def get_config():\n    pass\n", "get_config returns NoneType, not a ConfigDict"),
        ("def get_config():\n    return {'seed': 0}\n", "get_config returns dict, not a ConfigDict"),
        ("get_config = 3\n", "it has no function get_config"),
        ("def get_config(variant):\n    pass\n", "its get_config asks for a variant"),
        (
            "from configs import default\ndef get_config():\n    config = default.get_config()\n"
            "    config.loss.alpa = 2.0\n    return config\n",
            'line 4: AttributeError: \'Key "alpa" does not exist',
        ),
        (
            "from configs import default\ndef get_config():\n    config = default.get_config()\n"
            "    config.seed = 'x'\n    return config\n",
            "line 4: TypeError: ",
        ),
        ("def get_config():\n    raise ValueError('mine')\n", "line 2: ValueError: mine"),
    ],
)
def test_a_mistake_in_an_experiment_is_told_with_its_line(tmp_path, text, line):
    path = tmp_path / "mine.py"
    path.write_text(text)
    told = only("--config", str(path))
    assert told.startswith(f"--config {path}")
    assert line in told


def test_an_experiment_of_other_keys_is_told_which_it_lacks_and_which_there_are_not(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from configs import default\nfrom ml_collections import ConfigDict\ndef get_config():\n"
        "    config = default.get_config().to_dict()\n    del config['seed']\n    config['lr'] = 0.1\n"
        "    config['man']['alpha'] = 'much'\n    return ConfigDict(config)\n",
    )
    with pytest.raises(ConfigError) as told:
        load_experiment(str(path))
    lines = str(told.value).splitlines()
    assert len(lines) == 3
    assert "it lacks config.seed; begin with" in lines[0]
    assert "there is no key config.lr; did you mean" in lines[1]
    assert "config.man.alpha is 'much'; it must be a number" in lines[2]


# --- overrides


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("--config.man.alpha=abc", "config.man.alpha is 'abc'; it must be a number"),
        ("--config.seed=1.5", "config.seed is '1.5'; it must be a whole number"),
        ("--config.seed", "config.seed is ''; it must be a whole number"),
        ("--config.seed=(1,2)", "config.seed is '(1,2)'; it must be a whole number"),
        (
            "--config.model.stage_sizes=3",
            "config.model.stage_sizes is '3'; it must be values in brackets with commas",
        ),
        (
            "--config.model.stage_sizes=(3,'a')",
            "config.model.stage_sizes is \"(3,'a')\"; it must be values in",
        ),
        ("--config.model.stage_sizes=(3,", "config.model.stage_sizes is '(3,'; it must be values in"),
        ("--config.model.modalities=RNT", "config.model.modalities is 'RNT'; it must be values in brackets"),
        ("--config.evaluation.modalities=(1,)", "config.evaluation.modalities is '(1,)'; it must be values"),
        (
            "--config.augment.per_modality=perhaps",
            "config.augment.per_modality is 'perhaps'; it must be true or",
        ),
        ("--noconfig.seed", "config.seed is not true or false, so there is no --noconfig.seed"),
        (
            "--config.loss=3",
            "config.loss is a group of keys; set one of them: config.loss.smoothing, config.loss.triplet_form,",
        ),
        ("--config.loss.alpa=3", "there is no key config.loss.alpa; did you mean config.man.alpha?"),
        ("--config.alpha=3", "there is no key config.alpha; did you mean config.man.alpha?"),
        ("--config.=3", "there is no key config.; did you mean"),
    ],
)
def test_an_override_that_cannot_be_is_one_line_with_the_key_and_what_it_takes(word, line):
    assert only("--config=configs/demo.py", word).startswith(line)


@pytest.mark.parametrize(("old", "new"), default.MOVED.items())
def test_a_key_that_moved_is_refused_with_its_new_name(old, new):
    line = only("--config=configs/demo.py", f"--config.{old}=1")
    assert line == f"config.{old} is called config.{new} now; its values are the same"


@pytest.mark.parametrize("value", ["cpa", "fusion"])
def test_a_value_that_moved_is_refused_with_the_key_that_has_it_now(value):
    line = only("--config=configs/demo.py", f"--config.adapt.labels={value}")
    assert line.startswith(f"config.adapt.labels={value} is config.man.labels={value} now")


@pytest.mark.parametrize(
    ("old", "line"),
    [
        ("loss.alpha = 0.5", "config.loss.alpha is called config.man.alpha now"),
        ("adapt.labels = 'fusion'", "config.adapt.labels=fusion is config.man.labels=fusion now"),
    ],
)
def test_an_experiment_of_an_older_version_is_told_the_new_name(tmp_path, old, line):
    path = tmp_path / "mine.py"
    path.write_text(
        "from configs import default\ndef get_config():\n    config = default.get_config()\n"
        f"    config.{old}\n    return config\n"
    )
    assert line in only("--config", str(path))


def test_all_overrides_that_cannot_be_are_told_at_once_in_their_order():
    lines = refusal(
        "--config=configs/demo.py", "--config.seed=x", "--config.loss.alpa=1", "--config.man.beta=y"
    )
    assert [re.search(r"config\.[a-z.]+", line)[0] for line in lines] == [
        "config.seed",
        "config.loss.alpa",
        "config.man.beta",
    ]


# --- paths


def test_every_key_that_is_a_path_may_begin_with_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = demo.get_config()
    config.update_from_flattened_dict(dict.fromkeys(PATHS, "~/there"))
    expand_paths(config)
    for key in PATHS:
        part = config
        for name in key.split("."):
            part = part[name]
        assert part == "/home/me/there", key


def test_other_values_of_such_keys_stay_as_they_are():
    config = demo.get_config()
    config.model.pretrained = "hf:timm/resnet50.a1_in1k@0"
    before = config.to_json()
    expand_paths(config)
    assert config.to_json() == before


def test_a_home_that_is_nobody_s_is_refused_by_key():
    config = demo.get_config()
    config.pretrain.init_from = "~nobody-here/runs/a"
    with pytest.raises(
        ConfigError, match=r"config\.pretrain\.init_from is '~nobody-here/runs/a': there is no home"
    ):
        expand_paths(config)

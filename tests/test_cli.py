"""The command `man-jax`: its help, its answers to mistakes, and that each subcommand is the module's own command."""

import subprocess
import sys
from pathlib import Path

import pytest

from man_jax import cli

ROW = "  {} "


@pytest.fixture
def started(monkeypatch):
    """What is started in place of a module: its name, and the words it would get."""
    runs = []
    monkeypatch.setattr(sys, "argv", ["man-jax"])
    monkeypatch.setattr(cli.runpy, "run_module", lambda module, **_: runs.append((module, sys.argv[1:])))
    return runs


def refusal(*words: str) -> str:
    with pytest.raises(SystemExit) as told:
        cli.run(words)
    return str(told.value)


# --- help


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_the_help_fits_a_screen_and_has_every_command_there_is(words, capsys):
    cli.run(words)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for name in ("data", *cli.available()):
        assert any(line.startswith(ROW.format(name)) for line in lines), name


def test_the_help_with_every_command_that_is_planned_fits_a_screen_too(monkeypatch, capsys):
    monkeypatch.setattr(cli, "find_spec", lambda _: True)
    cli.run([])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert all(any(line.startswith(ROW.format(name)) for line in lines) for name in cli.COMMANDS)


def test_a_command_whose_module_is_not_there_is_neither_listed_nor_run(monkeypatch, capsys):
    monkeypatch.setattr(cli, "find_spec", lambda module: module != "man_jax.export")
    cli.run([])
    assert ROW.format("export") not in capsys.readouterr().out
    assert refusal("export").startswith("error: there is no command man-jax export")


@pytest.mark.parametrize("words", [["data"], ["data", "--help"], ["help", "data"]])
def test_the_help_of_data_has_its_commands(words, capsys):
    cli.run(words)
    page = capsys.readouterr().out
    assert all(ROW.format(name) in page for name in cli.DATA)


def test_help_imports_neither_jax_nor_any_command():
    program = "import sys; from man_jax import cli; cli.run(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {f"'{name}'" for name in ("jax", "numpy", "absl", "ml_collections", "man_jax.train")} & {
        *result.stderr.strip("[]\n").split(", ")
    }


# --- what is started


@pytest.mark.parametrize(
    ("words", "module", "rest"),
    [
        (["train", "--config", "demo"], "man_jax.train", ["--config", "demo"]),
        (["config", "--explain", "man.alpha"], "man_jax.show_config", ["--explain", "man.alpha"]),
        (["data", "draw", "--seed", "1"], "data_pipelines.synthetic", ["--seed", "1"]),
        (["data", "check", "--root", "x"], "data_pipelines.prepare", ["--check_only", "--root", "x"]),
        (["data", "prepare", "--root", "x"], "data_pipelines.prepare", ["--root", "x"]),
        (["help", "evaluate"], "man_jax.evaluate", ["--help"]),
        (["help", "data", "sheet"], "data_pipelines.contact_sheet", ["--help"]),
        (["train", "--help"], "man_jax.train", ["--help"]),
    ],
)
def test_a_subcommand_runs_its_module_with_the_other_words(words, module, rest, started):
    cli.run(words)
    assert started == [(module, rest)]


@pytest.mark.parametrize("command", [*cli.available().values(), *cli.DATA.values()])
def test_every_command_is_a_module_that_can_be_run(command):
    spec = cli.find_spec(command.module)
    assert spec is not None
    main = cli.find_spec(f"{command.module}.__main__") if spec.submodule_search_locations else spec
    assert "__main__" in Path(main.origin).read_text(encoding="utf-8")


# --- mistakes


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["trian"], "there is no command man-jax trian; did you mean man-jax train?"),
        (["evalute", "--run", "x"], "did you mean man-jax evaluate?"),
        (["data", "prepaer"], "there is no command man-jax data prepaer; did you mean man-jax data prepare?"),
        (["prepare"], "there is no command man-jax prepare; did you mean man-jax data prepare?"),
        (["draw"], "did you mean man-jax data draw?"),
        (["xyz"], "there are doctor, config, data, train,"),
        (["--config", "demo"], "name a command first, as in man-jax train --config"),
    ],
)
def test_a_mistyped_command_is_answered_with_the_nearest(words, answer, started):
    line = refusal(*words)
    assert line.startswith("error: ")
    assert answer in line
    assert "\n" not in line
    assert started == []


def test_the_module_s_own_help_and_mistakes_are_those_of_python_m():
    program = "import sys; sys.argv[0] = '/bin/man-jax'; from man_jax.cli import main; main()"

    def told(*command: str) -> tuple[int, str, str]:
        result = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, timeout=120, check=False
        )
        return result.returncode, result.stdout, result.stderr

    for words in (["--help"], ["--cofnig", "demo"]):
        assert told("-c", program, "train", *words) == told("-m", "man_jax.train", *words)

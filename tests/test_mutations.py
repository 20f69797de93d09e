"""The deliberate faults can still be made, and one counts as noticed only by tests that pass without it."""

import subprocess
from pathlib import Path

import pytest

from tests.mutations import FAULTS, PARTS, ROOT, Fault, commit_number, sample, try_faults

SIZES = (1, 4, 7, len(FAULTS), len(FAULTS) + 1)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_place_of_a_fault_is_there(fault):
    assert fault.right in (ROOT / fault.file).read_text(encoding="utf-8")
    assert (ROOT / fault.tests.partition("::")[0]).is_file()


# --- what the tests of a fault say


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project of one function with three files of tests."""
    root = tmp_path_factory.mktemp("project")
    for part in PARTS:
        if "." in part:
            (root / part).write_text('[tool.pytest.ini_options]\naddopts = "-p no:cacheprovider"\n')
        else:
            (root / part).mkdir()
    (root / "man_jax/sums.py").write_text("def add(x, y):\n    return x + y\n")
    head = "from man_jax.sums import add\ndef test_sum():\n    assert "
    for name, claim in {
        "good": "add(2, 3) == 5",
        "weak": "add(2, 2) == 4",
        "broken": "add(2, 2) == 5",
    }.items():
        (root / f"tests/test_{name}.py").write_text(f"{head}{claim}\n")
    return root


def product(tests: str) -> Fault:
    return Fault("a product", "man_jax/sums.py", "x + y", "x * y", f"tests/test_{tests}.py")


def test_a_fault_is_noticed_by_tests_that_pass_without_it_and_fail_with_it(project):
    faults = [product("good"), product("weak"), product("broken")]
    assert list(try_faults(faults, project)) == ["noticed", "NOT NOTICED", "NOT TRIED"]


def test_tests_are_run_unchanged_once_for_all_their_faults(project, monkeypatch):
    import tests.mutations

    runs = []
    monkeypatch.setattr(tests.mutations, "passes", lambda *run: runs.append(run) or len(run) == 2)
    faults = [product("good"), product("good"), product("weak")]
    assert list(try_faults(faults, project)) == ["noticed"] * 3
    unchanged = [run[0] for run in runs if len(run) == 2]
    assert unchanged == ["tests/test_good.py", "tests/test_weak.py"]


def test_no_fault_is_begun_when_the_time_is_over(project):
    assert list(try_faults([product("good")] * 2, project, seconds=-1)) == ["not begun"] * 2


def test_tests_that_cannot_be_run_are_an_error_that_names_them(project):
    with pytest.raises(RuntimeError, match=r"without a fault: tests/test_absent\.py could not be run"):
        list(try_faults([product("absent")], project))


# --- which faults a commit tries


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("first", [0, 1, 1000])
def test_successive_commits_try_every_fault_by_the_time_that_is_promised(size, first):
    promised = -(-len(FAULTS) // size)
    choices = [sample(FAULTS, size, number) for number in range(first, first + promised)]
    assert {fault for choice in choices for fault in choice} == set(FAULTS)
    assert max(map(len, choices)) <= size


def test_every_fault_is_the_first_of_a_choice_at_some_time():
    size = 4
    choices = (sample(FAULTS, size, number) for number in range(size * -(-len(FAULTS) // size)))
    assert {choice[0] for choice in choices} == set(FAULTS)


def test_a_commit_s_number_is_one_more_than_that_of_the_commit_before(tmp_path):
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init")
    numbers = []
    for _ in range(2):
        git("-c", "user.name=a", "-c", "user.email=a", "commit", "--allow-empty", "-m", "A change")
        numbers.append(commit_number(tmp_path))
    assert numbers == [1, 2]


def test_where_there_is_no_git_the_number_is_the_day_s(tmp_path):
    assert commit_number(tmp_path) > 700_000

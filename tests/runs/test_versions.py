"""The commit that is kept with a run."""

import subprocess

from man_jax.runs.versions import UNKNOWN, commit


def git(folder, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    found = subprocess.run(
        ["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_a_checkout_has_its_commit_and_says_whether_files_differ_from_it(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "tag", "-a", "v1", "-m", "a tag is not what is asked for")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit(tmp_path) == head
    (tmp_path / "code.py").write_text("2")
    commit.cache_clear()
    assert commit(tmp_path) == f"{head} with changes"


def test_a_package_in_a_folder_of_another_repository_has_no_commit(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "site-packages").mkdir()
    assert commit(tmp_path / "site-packages") == UNKNOWN


def test_a_repository_without_a_commit_has_none(tmp_path):
    git(tmp_path, "init", "-q")
    assert commit(tmp_path) == UNKNOWN

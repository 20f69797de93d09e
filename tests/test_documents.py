"""Documents point only to what exists, and the README is short and has the figures of its logs."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/methods").glob("*.md")])
PRESENT = [document for document in DOCUMENTS if document.name != "CHANGELOG.md"]
"""Those that tell of the project as it is; the changelog names what there was."""
TO_BE_WRITTEN = {"NAME", "EXPERIMENT", "self_training"}
"""Files of the reader's own."""
MOST_WORDS = 900
LINK = re.compile(r"\]\(([^()\s]+)\)")
FILE = re.compile(
    r"(?<![\w/])((?:man_jax|data_pipelines|configs|tests|benchmarks|docs)/[\w/]+\.(?:py|md|toml|jpg))\b"
)
MODULE = re.compile(r"python -m ((?:man_jax|data_pipelines|tests|benchmarks)(?:\.\w+)+)")
KEY = re.compile(r"--config\.([a-z_]+(?:\.[a-z_]+)*)")


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


def text(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def anchors(document: Path) -> set[str]:
    """What a link into the document may end in, as the common hosts make it of its headings."""
    without_code = re.sub(r"^ {4}.*$", "", text(document), flags=re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", without_code, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(document):
    for link in LINK.findall(text(document)):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (document.parent / file).resolve() if file else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", PRESENT, ids=named)
def test_every_file_and_command_that_is_named_exists(document):
    for file in FILE.findall(text(document)):
        assert (ROOT / file).is_file() or Path(file).stem in TO_BE_WRITTEN, file
    for module in MODULE.findall(text(document)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@pytest.mark.parametrize("document", PRESENT, ids=named)
def test_every_key_that_is_set_on_a_command_line_exists(document):
    from man_jax.configs import default

    config = default.get_config()
    for key in KEY.findall(text(document)):
        if key.split(".")[0] in TO_BE_WRITTEN:
            continue
        place = config
        for part in key.split("."):
            assert part in place, key
            place = place[part]


def test_the_readme_is_read_in_one_sitting():
    assert len(text(ROOT / "README.md").split()) <= MOST_WORDS


def test_the_figures_of_the_demonstration_are_those_of_its_table():
    [means] = re.findall(r"^\| \*\*mean.*$", text(ROOT / "docs/results/demo_seeds.md"), flags=re.MULTILINE)
    for figure in re.findall(r"\d+\.\d(?: ± \d+\.\d)?", means):
        assert figure in text(ROOT / "docs/RESULTS.md")


def test_the_locked_versions_are_within_the_bounds_of_what_is_required():
    from packaging.requirements import Requirement

    locked = dict(line.split("==") for line in text(ROOT / "requirements.lock").splitlines() if "==" in line)
    for line in text(ROOT / "requirements.txt").splitlines():
        if not line.startswith("#"):
            wanted = Requirement(line)
            assert wanted.specifier.contains(locked[wanted.name.lower().replace("_", "-")]), line


def test_the_version_is_the_same_wherever_it_is_written():
    version = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["version"]
    assert re.findall(r"^## \[([\d.]+)\]", text(ROOT / "CHANGELOG.md"), flags=re.M)[0] == version
    assert re.findall(r"^version: (\S+)$", text(ROOT / "CITATION.cff"), flags=re.M) == [version]


def test_the_page_of_a_method_has_every_key_with_its_default():
    from man_jax import methods

    pages = {path.stem for path in (ROOT / "docs/methods").glob("*.md")}
    assert (
        pages
        == set(methods.names())
        == set(re.findall(r"\]\(methods/(\w+)\.md\)", text(ROOT / "docs/METHODS.md")))
    )
    for method in methods.names():
        section = text(ROOT / f"docs/methods/{method}.md")
        assert f"`{method}`" in section.splitlines()[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", section, flags=re.M))
        keys = methods.keys_of(method)
        assert {name: str(key.default) for name, key in keys.items()} == rows, method
        for name, key in keys.items():
            [row] = re.findall(rf"^\| `{name}` .*$", section, flags=re.M)
            assert all(f"`{choice}`" in row for choice in key.choices), (method, name)


def test_the_package_carries_its_marker_of_types():
    data = tomllib.loads(text(ROOT / "pyproject.toml"))["tool"]["setuptools"]["package-data"]
    assert "py.typed" in data["*"]
    assert (ROOT / "man_jax/py.typed").is_file()


def test_the_example_of_a_method_has_the_functions_of_a_method():
    from inspect import signature

    from man_jax.methods import man

    example: dict = {}
    [code] = re.findall(r"^```python\n(.*?)^```", text(ROOT / "docs/ADD_A_METHOD.md"), flags=re.M | re.S)
    exec(code, example)
    for name in ("networks", "capacity", "start", "label", "begin_epoch", "loss", "after_update", "weights"):
        assert list(signature(example[name]).parameters) == list(signature(getattr(man, name)).parameters)
    assert set(example) >= {"KEYS"}

"""The pages of a run and of a study: what they show, what they leave out, and how they look in a browser."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest

from data_pipelines.reading.records import DataError
from man_jax.config import ConfigError, WorkdirError
from man_jax.engine import run_page as subject
from man_jax.engine.run_page import run_page
from man_jax.reporting.pages.render import missing_packages
from man_jax.sharding import make_mesh
from man_jax.studies.study_page import study_page
from tests.browser import (
    SCHEMES,
    WIDTHS,
    broken_images,
    new_page,
    open_browser,
    overflow,
    why_no_browser,
)
from tests.small_run import write_run, write_set, write_triples

TRAIN = tuple(f"{pid}_c{camid}_{number}.png" for pid in (1, 2) for camid in (1, 2) for number in (0, 1))
BEFORE, AFTER = 0.31, 0.47


def write_history(workdir: Path) -> None:
    figures = {"R1": 0.5, "R5": 0.6, "R10": 0.7, "mINP": 0.2, "valid_queries": 3}
    rows = [
        {"epoch": 1, "phase": "pretrain", "loss/total": 2.0, "loss/identity_source": 2.0, "eval/mAP": BEFORE},
        {"epoch": 1, "phase": "adapt", "loss/memory": 3.0, "loss/modality": 5.0, "loss/total": 7.0},
        {"epoch": 2, "phase": "adapt", "loss/memory": 1.0, "loss/modality": 5.0, "loss/total": 5.0},
    ]
    for row in rows[1:]:
        row |= {"eval/mAP": AFTER, "labels/accuracy_F": 0.625, "labels/reliable": 0.25}
    judged = {f"eval/{name}": value for name, value in figures.items()}
    lines = [{"step": step, **row, **judged} for step, row in enumerate(rows)]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    size = {"triples": 8, "identities": 2, "fingerprints": {}}
    used = {
        "versions": {"man_jax": "0.2.0"},
        "source": {"name": "folder", "train": size},
        "target": {"name": "folder", "train": size, "query": size, "gallery": size},
    }
    (workdir / "data.json").write_text(json.dumps(used))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A run with a history, in whose target <b>bold</b> is a part of a file's name."""
    base = tmp_path_factory.mktemp("report")
    write_triples(write_set(base) / "train", TRAIN, seed=500)
    write_triples(base / "source/train", TRAIN, seed=900)
    write_triples(base / "source/train", ("1_c1_<b>bold<b>.png",), seed=950)
    workdir = write_run(base)
    config = json.loads((workdir / "config.json").read_text())
    config["data"]["source"].update(name="folder", root=str(base / "source"))
    (workdir / "config.json").write_text(json.dumps(config))
    write_history(workdir)
    return base


@pytest.fixture(scope="module")
def page(base) -> str:
    return run_page(base / "run", num_queries=3, seed=0, mesh=make_mesh())


def cells(page: str, name: str) -> list[list[str]]:
    """The cells of the rows that begin with a name."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)]
    return [row for row in rows if row and row[0] == name]


def test_the_results_are_those_of_the_history(page):
    assert cells(page, "source only") == [["source only", "31.0", "50.0", "60.0", "70.0", "20.0"]]
    assert cells(page, "adapted") == [["adapted", "47.0", "50.0", "60.0", "70.0", "20.0"]]
    assert "chosen on the test identities" in page


def test_the_losses_of_the_last_epoch_have_their_weights_and_shares(page):
    """L_MMA counts 0.8 times (Eq. 23): 5 × 0.8 = 4, which is 80 % of 4 + 1."""
    assert cells(page, "MMA (Eq. 20)") == [["MMA (Eq. 20)", "0.8", "5", "4", "80 %"]]
    assert cells(page, "XBM") == [["XBM", "1", "1", "1", "20 %"]]


def test_the_pseudo_labels_of_the_last_epoch_are_told(page):
    assert cells(page, "fused") == [["fused", "62.5"]]


def test_keys_that_differ_from_the_default_are_told_and_only_these(page):
    [changed] = re.findall(r'<h2 id="keys">.*?</table>', page, re.DOTALL)
    assert "config.model.width" in changed
    assert "config.man.alpha" not in changed


def test_the_data_and_the_version_of_the_run_are_told(page):
    assert cells(page, "target, folder, query") == [["target, folder, query", "8", "2"]]
    assert cells(page, "run begun with") == [["run begun with", "man_jax 0.2.0"]]


def test_every_query_has_a_list_and_every_picture_is_in_the_page(page):
    assert len(re.findall('<section class="list"', page)) == 3
    sources = re.findall(r'<img[^>]* src="([^"]{0,30})', page)
    assert len(sources) > 20
    assert all(each.startswith("data:image/") for each in sources)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_matches_are_marked_by_their_identity(page):
    assert page.count("✓") > 1
    assert page.count('<figure class="right">') + page.count('<figure class="wrong">') >= 6


def test_a_page_without_the_source_says_why_the_plane_is_left_out(base, monkeypatch):
    prepare = subject.prepare_side

    def without_source(config, side):
        if side == "source":
            raise DataError("/gone: does not exist")
        return prepare(config, side)

    monkeypatch.setattr(subject, "prepare_side", without_source)
    page = run_page(base / "run", num_queries=1, seed=0, mesh=make_mesh())
    assert "Left out: /gone: does not exist" in page
    assert '<section class="list"' in page


def test_a_run_without_figures_is_refused(tmp_path):
    workdir = write_run(tmp_path)
    with pytest.raises(WorkdirError, match="has no figures yet"):
        run_page(workdir, num_queries=3, seed=0, mesh=make_mesh())


# --- a study


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("study")
    for seed in (0, 1):
        workdir = write_run(folder, name=f"seed{seed}-paper")
        config = json.loads((workdir / "config.json").read_text()) | {"seed": seed}
        (workdir / "config.json").write_text(json.dumps(config))
        write_history(workdir)
    head = [
        "row",
        "modalities",
        "figure",
        "mean",
        "deviation",
        "runs",
        "published",
        "published_of",
        "not_run",
    ]
    with (folder / "table4.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([head, ["MAN", "", "mAP", "47.00", "1.50", 2, 53.91, "rgbnt100_to_wmveid863", ""]])
    return study_page(folder)


def test_a_study_has_its_tables_with_the_published_figures_beside(study):
    [row] = cells(study, "MAN")
    assert row[1].startswith("47.00 ± 1.50")
    assert "53.91" in row[1]
    assert "published by the paper for rgbnt100_to_wmveid863, not run by us" in study


def test_a_study_has_a_line_for_each_run(study):
    assert cells(study, "paper") == [
        ["paper", str(seed), "adapt, epoch 2", "47.0", "50.0"] for seed in (0, 1)
    ]
    assert cells(study, "paper: MMA (Eq. 20)") == [["paper: MMA (Eq. 20)", "4", "80 %"]]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no run is in it"):
        study_page(tmp_path)


# --- in a browser


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.mark.skipif(why_no_browser() is not None, reason=str(why_no_browser()))
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_are_readable_without_errors(browser, page, study, tmp_path, width, scheme):
    for name, html in (("run", page), ("study", study)):
        path = tmp_path / f"{name}.html"
        path.write_text(html, encoding="utf-8")
        with new_page(browser, width=width, scheme=scheme) as (view, errors):
            view.goto(path.as_uri())
            assert broken_images(view) == []
            assert overflow(view) == 0
            if name == "run":
                lists = view.locator(".list")
                assert [lists.nth(i).is_visible() for i in range(3)] == [True, False, False]
                view.click("#next")
                assert [lists.nth(i).is_visible() for i in range(3)] == [False, True, False]
            assert errors == []


def test_scikit_learn_or_jinja2_that_is_missing_is_told_before_any_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert missing_packages() == ["scikit-learn"]

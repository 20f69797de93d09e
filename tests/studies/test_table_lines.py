"""What a table shows of runs: each seed's figures in its line, the published ones under their names, and costs."""

from types import SimpleNamespace

from man_jax.configs.tables import Row, Table

from man_jax.configs import default
from man_jax.engine import table_figures
from man_jax.runs.epoch_times import keep_times
from man_jax.studies import table_lines as subject

ROWS = (Row("one", ("paper",), {}), Row("two", ("no_cpa",), {}))
PUBLISHED = {"one": (50.0, 60.0, 51.0, 61.0), "two": (40.0, 50.0)}
SIZES = {"source": (24, 4), "target": (30, 5)}


def run_of(workdir, *, epochs: int = 1):
    config = default.get_config()
    config.adapt.epochs = epochs
    return SimpleNamespace(config=config, workdir=workdir)


def lines(table, runs, summaries=None, *, refused=()):
    return subject.table_lines(
        table,
        runs,
        summaries or {each: {"adapted": {"mAP": 0.1 * each[0], "R1": 0.5}} for each in runs},
        published=PUBLISHED,
        refused=dict(refused),
        sizes=SIZES,
        mesh=None,  # pyright: ignore[reportArgumentType]
    )


def test_the_seeds_of_a_row_are_in_one_line_and_a_refused_row_has_only_what_is_published(tmp_path):
    table = Table("", (), ("mAP", "R1"), ROWS)
    runs = {(seed, "one"): run_of(tmp_path) for seed in (1, 2)}
    one, two = lines(table, runs, refused=[("two", "why")])
    assert one.figures == {"mAP": [0.1, 0.2], "R1": [0.5, 0.5]}
    assert one.published == {"mAP": 50.0, "R1": 60.0}
    assert (two.figures, two.published, two.reason) == ({}, {"mAP": 40.0, "R1": 50.0}, "why")


def test_each_subset_of_modalities_has_a_line_and_its_published_figures(tmp_path, monkeypatch):
    found = {"R": {"mAP": 0.3}, "RN": {"mAP": 0.4}}
    monkeypatch.setattr(subject, "figures_by_subset", lambda *_, **__: found)
    table = Table("", (), ("mAP", "R1"), ROWS[:1], subsets=("R", "RN"))
    first, second = lines(table, {(0, "one"): run_of(tmp_path)})
    assert (first.subset, first.figures, first.published) == ("R", {"mAP": [0.3]}, {"mAP": 50.0, "R1": 60.0})
    assert (second.subset, second.published) == ("RN", {"mAP": 51.0, "R1": 61.0})


def test_costs_are_an_epoch_a_test_and_the_memory_of_the_step(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        table_figures, "step_footprint", lambda _, sizes: (asked.append(sizes), {"in all, GiB": 2.0})[1]
    )
    times = {"label_seconds": 2.0, "train_seconds": 5.0, "test_seconds": 1.5}
    keep_times(tmp_path, epoch=1, compiled=False, figures=times)
    table = Table("", (), ("mAP", "R1"), ROWS[:1], costs=True)
    (line,) = lines(table, {(0, "one"): run_of(tmp_path)})
    assert line.figures == {"mAP": [0.0], "R1": [0.5], "epoch": [7.0], "test": [1.5], "memory": [2048.0]}
    assert line.published == {"mAP": 50.0, "R1": 60.0, "epoch": 51.0, "test": 61.0}
    assert asked == [SIZES]
    (bare,) = lines(table, {(0, "one"): run_of(tmp_path, epochs=0)})
    assert bare.figures == {"mAP": [0.0], "R1": [0.5]}

"""Each row reaches the trackers that are named, a run that goes on goes on there, and a tracker never ends a run."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from man_jax.config import ConfigError
from man_jax.engine.run_parts import open_run
from man_jax.experiment_flags import load_experiment
from man_jax.runs.metrics import MetricsWriter, read_history
from man_jax.runs.trackers import IDS_FILE, OPENERS, check_trackers, open_trackers


class Service:
    """What the fake libraries were told: how runs were opened, their rows, and whether they were ended."""

    def __init__(self):
        self.opened, self.rows, self.ended, self.fails = [], [], 0, False

    def log(self, values, step):
        if self.fails:
            raise OSError("no network\nat all")
        self.rows.append((step, values))

    def end(self):
        self.ended += 1


def fake(name: str, service: Service) -> ModuleType:
    """A library with the functions of `name` that are called."""
    library = ModuleType(name)
    library.__spec__ = ModuleSpec(name, None, origin="fake")
    run = SimpleNamespace(log=service.log, finish=service.end, info=SimpleNamespace(run_id="of-the-server"))

    def open_one(**keywords):
        service.opened.append(keywords)
        return run

    library.init = open_one  # wandb and trackio
    library.start_run = open_one  # mlflow
    library.set_experiment = lambda experiment: service.opened.append({"experiment": experiment})
    library.log_params = lambda params: service.opened.append({"params": params})
    library.log_metrics = service.log
    library.end_run = service.end
    return library


@pytest.fixture
def services(monkeypatch):
    there = {name: Service() for name in OPENERS}
    for name, service in there.items():
        monkeypatch.setitem(sys.modules, name, fake(name, service))
    return there


def config(trackers: str):
    found = load_experiment("demo:smoke")
    found.trackers = trackers
    return found


def write_rows(workdir, trackers: str, *steps: int) -> None:
    writer = MetricsWriter(workdir, open_trackers=lambda: open_trackers(config(trackers), workdir))
    writer.resume(steps[0] - 1)
    for step in steps:
        writer.write({"loss/total": step / 2}, step=step, epoch=step, phase="adapt")
    writer.close()
    writer.close()


# --- rows


@pytest.mark.parametrize("name", OPENERS)
def test_a_tracker_gets_each_row_with_its_step_and_is_ended_once(name, services, tmp_path):
    write_rows(tmp_path, name, 1, 2)
    assert services[name].rows == [
        (1, {"loss/total": 0.5, "epoch": 1.0}),
        (2, {"loss/total": 1.0, "epoch": 2.0}),
    ]
    assert services[name].ended == 1
    assert all(not other.opened for key, other in services.items() if key != name)


def test_several_trackers_get_the_same_rows(services, tmp_path):
    write_rows(tmp_path, "wandb, mlflow", 1)
    assert services["wandb"].rows == services["mlflow"].rows != []


@pytest.mark.parametrize("name", OPENERS)
def test_a_tracker_is_told_the_configuration(name, services, tmp_path):
    write_rows(tmp_path, name, 1)
    [told] = [each[key] for each in services[name].opened for key in ("config", "params") if key in each]
    assert str(told["man.alpha"]) == "1.0"


@pytest.mark.parametrize("name", OPENERS)
def test_a_run_that_goes_on_goes_on_in_its_entry(name, services, tmp_path):
    write_rows(tmp_path, name, 1)
    first = len(services[name].opened)
    write_rows(tmp_path, name, 2)
    [again] = services[name].opened[first:]
    if name == "mlflow":
        assert again == {"run_id": "of-the-server"}
    else:
        key = {"wandb": "id", "trackio": "name"}[name]
        assert again[key] == services[name].opened[0][key]
        assert again["resume"] == "allow"


def test_two_runs_have_entries_of_their_own(services, tmp_path):
    write_rows(tmp_path / "one", "wandb,trackio", 1)
    write_rows(tmp_path / "two", "wandb,trackio", 1)
    assert len({each["id"] for each in services["wandb"].opened}) == 2
    assert len({each["name"] for each in services["trackio"].opened}) == 2


def test_without_trackers_nothing_is_opened_and_no_file_is_left(services, tmp_path):
    write_rows(tmp_path, "", 1)
    assert not any(service.opened for service in services.values())
    assert not (tmp_path / IDS_FILE).exists()


def test_another_process_than_the_first_opens_no_tracker(services, tmp_path):
    writer = MetricsWriter(
        tmp_path, process_index=1, open_trackers=lambda: open_trackers(config("wandb"), tmp_path)
    )
    writer.resume(0)
    writer.write({"loss/total": 1.0}, step=1, epoch=1, phase="adapt")
    assert services["wandb"].opened == []


# --- what goes wrong


def test_a_tracker_that_fails_is_given_up_with_one_warning_and_the_record_is_whole(
    services, tmp_path, caplog
):
    services["wandb"].fails = True
    write_rows(tmp_path, "wandb,trackio", 1, 2)
    assert [row["step"] for row in read_history(tmp_path)] == [1, 2]
    assert len(services["trackio"].rows) == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["wandb is given up (no network); the run goes on, and metrics.jsonl has all figures"]


def test_a_tracker_that_does_not_open_is_refused_before_training(tmp_path, monkeypatch):
    def refuse(**_):
        raise RuntimeError("log in first\nby the command")

    monkeypatch.setitem(sys.modules, "wandb", fake("wandb", Service()))
    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)
    with pytest.raises(ConfigError, match=r"names wandb, which does not open: log in first; see its"):
        open_trackers(config("wandb"), tmp_path)


def test_a_tracker_that_does_not_exist_and_one_that_is_not_installed_are_told_at_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wandb").mkdir()  # the folder in which wandb keeps its runs
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError) as told:
        check_trackers("comet, wandb")
    assert str(told.value).splitlines() == [
        "config.trackers names 'comet'; choose from wandb, trackio, mlflow, joined by commas",
        "config.trackers names wandb, which is not installed; pip install wandb, or leave it out",
    ]


def test_a_run_with_a_tracker_that_is_not_installed_is_refused_before_it_reads_weights_or_data(tmp_path):
    with pytest.raises(ConfigError, match="pip install trackio"):
        open_run(config("trackio"), tmp_path / "run")
    assert not (tmp_path / "run").exists()

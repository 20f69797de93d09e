"""The times of epochs, kept beside the figures."""

from man_jax.runs.epoch_times import keep_times, usual_times


def keep(workdir, epoch: int, label: float, train: float, *, compiled: bool = False, **test: float) -> None:
    seconds = {"label_seconds": label, "train_seconds": train, **test}
    keep_times(workdir, epoch=epoch, compiled=compiled, figures=seconds)


def test_the_epoch_that_compiled_does_not_count(tmp_path):
    keep(tmp_path, 1, 9.0, 90.0, compiled=True, test_seconds=9.0)
    keep(tmp_path, 2, 1.0, 10.0)
    keep(tmp_path, 3, 3.0, 12.0, test_seconds=0.5)
    keep(tmp_path, 4, 2.0, 14.0, test_seconds=0.7)
    assert usual_times(tmp_path) == {"label_seconds": 2.0, "train_seconds": 12.0, "test_seconds": 0.6}


def test_a_run_of_one_epoch_has_the_time_of_that(tmp_path):
    keep(tmp_path, 1, 9.0, 90.0, compiled=True)
    assert usual_times(tmp_path) == {"label_seconds": 9.0, "train_seconds": 90.0}


def test_a_run_without_times_has_none(tmp_path):
    assert usual_times(tmp_path) == {}

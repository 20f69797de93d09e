import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from data_pipelines.checking import verification
from data_pipelines.checking.verification import raise_faults, verify
from data_pipelines.reading.readers import rgbnt100, wmveid863
from data_pipelines.reading.records import DataError, Dataset
from tests.data_pipelines.trees import write_picture, write_rgbnt100, write_wmveid863


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return wmveid863.read(write_wmveid863(tmp_path / "source"))


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The names of the files that are opened from here on."""
    names, open_picture = [], verification.open_picture

    def watched(ref):
        names.append(ref.path.name)
        return open_picture(ref)

    monkeypatch.setattr(verification, "open_picture", watched)
    return names


def test_every_file_is_opened_once(dataset, opened):
    reports = verify(dataset)
    assert {report.path for report in reports} == set(dataset.root.rglob("*.jpg"))
    assert len(opened) == len(reports) == 24


def test_a_picture_of_three_modalities_is_one_file(tmp_path, opened):
    verify(rgbnt100.read(write_rgbnt100(tmp_path)))
    assert len(opened) == 8


def test_equal_bytes_have_equal_digests(dataset):
    digests = {report.digest for report in verify(dataset)}
    assert len(digests) == 3  # one colour a modality


def test_all_faults_are_reported_not_the_first_one_only(dataset):
    broken = sorted((dataset.root / "train").rglob("th/*.jpg"))
    for path in broken:
        path.write_bytes(b"no image")
    faults = [report for report in verify(dataset) if report.fault]
    assert [report.path for report in faults] == broken
    with pytest.raises(DataError) as error:
        raise_faults(dataset, faults)
    assert "wmveid863: 3 files cannot be used" in str(error.value)
    assert all(f"{path}: cannot be read" in str(error.value) for path in broken)


def test_a_data_set_without_faults_raises_none(dataset):
    raise_faults(dataset, verify(dataset))


def test_what_the_ledger_knows_is_not_opened_again(dataset, tmp_path, opened):
    first = verify(dataset, ledger=tmp_path / "ledger")
    opened.clear()
    assert verify(dataset, ledger=tmp_path / "ledger") == first
    assert opened == []


def test_an_interrupted_pass_goes_on_where_it_was(dataset, tmp_path, opened, monkeypatch):
    report, count = verification._report, iter(range(100))

    def interrupted(*arguments):
        if next(count) == 15:
            raise KeyboardInterrupt
        return report(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(verification, "_report", interrupted)
        with pytest.raises(KeyboardInterrupt):
            verify(dataset, ledger=tmp_path / "ledger")
    with (tmp_path / "ledger").open("a") as file:
        file.write('{"path": "torn')  # as a kill leaves it
    num_known = len((tmp_path / "ledger").read_text().splitlines()) - 1
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join()  # the interrupted pass does not wait for a file that is being read
    opened.clear()
    assert num_known > 0
    assert len(verify(dataset, ledger=tmp_path / "ledger")) == 24
    assert len(opened) == 24 - num_known
    opened.clear()
    verify(dataset, ledger=tmp_path / "ledger")
    assert opened == []


def test_a_changed_file_is_opened_again(dataset, tmp_path, opened):
    verify(dataset, ledger=tmp_path / "ledger")
    opened.clear()
    path = dataset.splits["query"][0].images[1].path
    write_picture(path, (1, 2, 3), size=(41, 24))
    verify(dataset, ledger=tmp_path / "ledger")
    assert opened == [path.name]


def test_a_file_with_a_fault_is_looked_at_again(dataset, tmp_path, opened):
    path = dataset.splits["query"][0].images[1].path
    content = path.read_bytes()
    status = path.stat()
    path.write_bytes(b"\0" * len(content))
    assert any(report.fault for report in verify(dataset, ledger=tmp_path / "ledger"))
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    opened.clear()
    assert not any(report.fault for report in verify(dataset, ledger=tmp_path / "ledger"))
    assert opened == [path.name]


def test_a_loop_of_links_is_a_fault_that_names_the_file(dataset):
    path = dataset.splits["query"][0].images[1].path
    path.unlink()
    path.symlink_to(path)
    (fault,) = [report.fault for report in verify(dataset) if report.fault]
    assert f"{path}: cannot be read (Too many levels of symbolic links)" in fault


def test_a_name_that_is_not_utf8_is_a_fault(tmp_path):
    base = write_wmveid863(tmp_path / "source")
    for modality in ("vis", "ni", "th"):
        name = os.fsencode(base / "train/0007" / modality) + b"/v1_caf\xe9.jpg"
        try:
            Image.new("RGB", (9, 9)).save(tmp_path / "plain.jpg")
            Path(os.fsdecode(name)).write_bytes((tmp_path / "plain.jpg").read_bytes())
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    faults = [report.fault for report in verify(wmveid863.read(base)) if report.fault]
    assert len(faults) == 3
    assert all("its name is not UTF-8; rename it" in fault for fault in faults)

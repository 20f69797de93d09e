"""What a set that lacks splits or identities can be used for, and how its refusals read."""

from pathlib import Path

import pytest

from data_pipelines.checking.checks import check_queries, checked_dataset
from data_pipelines.reading.records import UNLABELLED, DataError, Dataset, Facts, ImageRef, Record
from data_pipelines.reading.roles import (
    absence_warnings,
    require_scores,
    require_training,
    unlabelled_warnings,
)

ROOT = Path("/data")
FACTS = Facts("drawn", "camid", (), "1.jpg", {})


def records(*pids: int, camid: int = 0) -> list[Record]:
    return [Record((ImageRef(ROOT / f"{i}.jpg"),), pid, camid) for i, pid in enumerate(pids)]


def dataset(**splits: list[Record]) -> Dataset:
    return checked_dataset(FACTS, ROOT, splits, ())


WHOLE = {"train": records(1, 2), "query": records(3), "gallery": records(3, camid=1)}


def without(*names: str) -> dict[str, list[Record]]:
    return {name: found for name, found in WHOLE.items() if name not in names}


def test_a_whole_set_can_be_used_for_everything_and_needs_no_warning():
    whole = dataset(**WHOLE)
    assert (whole.warnings, check_queries(whole)) == ((), ())
    require_scores(whole)
    require_training(whole, labels_because="because")


def test_a_set_without_training_triples_is_scored_and_not_trained_on():
    test_only = dataset(**without("train"))
    (warning,) = test_only.warnings
    assert warning == "drawn: no training triple in /data: the set cannot be trained on"
    assert test_only.splits["train"] == ()
    require_scores(test_only)
    with pytest.raises(DataError, match=r"^drawn in /data has no training triple .*; add some.*evaluate\)$"):
        require_training(test_only)


def test_a_set_without_query_and_gallery_is_trained_on_and_not_scored():
    train_only = dataset(**without("query", "gallery"))
    (warning,) = train_only.warnings
    assert warning.startswith("drawn: no query and no gallery in /data: the set cannot be evaluated")
    assert check_queries(train_only) == ()
    require_training(train_only, labels_because="because")
    with pytest.raises(
        DataError, match=r"cannot be scored: it has no query and no gallery\. .*extract_table"
    ):
        require_scores(train_only)


@pytest.mark.parametrize("names", [("query",), ("gallery",), ("train", "query"), ("train", "gallery")])
def test_a_query_without_a_gallery_is_a_slip_and_refused(names):
    lacking = " or ".join(names)
    with pytest.raises(
        DataError, match=f"no triple of {lacking} in /data; query and gallery are needed both"
    ):
        dataset(**without(*names))


def test_a_set_of_nothing_is_refused():
    with pytest.raises(DataError, match="no triple of train or query or gallery"):
        absence_warnings("drawn", ROOT, {})


def test_the_folder_s_content_is_told_so_that_a_misspelt_split_is_seen(tmp_path):
    (tmp_path / "trian").mkdir()
    (warning,) = absence_warnings("drawn", tmp_path, without("train"))
    assert f"in {tmp_path}, which holds trian/: " in warning


@pytest.mark.parametrize(
    ("query", "gallery", "counts"),
    [
        ((-1, -1), (-1,), "2 of 2 query and 1 of 1 gallery triples"),
        ((-1, -1), (3, 4), "2 of 2 query triples"),
        ((3, -1), (3, 4), "1 of 2 query triples"),
        ((3, 4), (3, -1, -1), "2 of 3 gallery triples"),
    ],
)
def test_unlabelled_test_triples_are_counted_warned_of_and_not_scored(query, gallery, counts):
    found = dataset(query=records(*query), gallery=records(*gallery, camid=1))
    assert check_queries(found) == unlabelled_warnings(found)
    (warning,) = unlabelled_warnings(found)
    assert warning.startswith(f"drawn: {counts} have no identity (")
    with pytest.raises(
        DataError, match=rf"cannot be scored: {counts} have no identity .*give each an identity"
    ):
        require_scores(found)


def test_the_refusal_names_some_of_the_unlabelled_triples():
    found = dataset(query=records(3, -1), gallery=records(3, camid=1))
    with pytest.raises(DataError, match=r"\(query: 1\.jpg\)"):
        require_scores(found)


def test_missing_training_labels_are_counted_where_they_are_needed():
    found = dataset(**WHOLE | {"train": records(1, UNLABELLED, UNLABELLED)})
    require_training(found)
    with pytest.raises(
        DataError, match=r"2 of 3 training triples have no identity .*, and because; label them"
    ):
        require_training(found, labels_because="because")


def test_no_identity_is_shared_by_unlabelled_triples():
    found = dataset(train=records(-1), query=records(-1), gallery=records(-1))
    assert not any("both train and test" in warning for warning in found.warnings)

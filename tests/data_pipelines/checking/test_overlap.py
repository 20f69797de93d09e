from dataclasses import replace

from data_pipelines.checking.overlap import overlap_warnings
from data_pipelines.storing.prepared import PreparedDataset
from tests.engine.splits import new_dataset, new_split


def dataset(name: str, train: list[int], query: list[int], gallery: list[int]) -> PreparedDataset:
    def split(pids: list[int]):
        return replace(new_split(pids), names=[f"v{pid % 4}_{pid}.jpg" for pid in pids])

    return replace(new_dataset(split(train), split(query), split(gallery)), name=name)


SOURCE = dataset("one", [325, 7, 862, -1], [1], [1])


def test_shared_identities_of_one_numbering_are_named():
    (warning,) = overlap_warnings(SOURCE, dataset("two", [7], [325], [325, 862, 9]), same_numbering=True)
    assert warning == "one → two: 2 identities of the source's train occur in the target's test: 325, 862"


def test_shared_training_identities_are_no_matter():
    assert overlap_warnings(SOURCE, dataset("two", [7, 325], [8], [8, 9]), same_numbering=True) == ()


def test_unlabelled_triples_are_nobody():
    assert overlap_warnings(SOURCE, dataset("two", [5], [8], [8, 9]), same_numbering=True) == ()


def test_between_two_numberings_the_file_name_counts_too():
    other = dataset("two", [5], [325], [325, 862])
    renamed = replace(other, gallery=replace(other.gallery, names=["a.jpg", "b.jpg"]))
    (warning,) = overlap_warnings(SOURCE, renamed, same_numbering=False)
    assert warning == (
        "one → two: 1 triples of the source's train, by pid and file name, occur in the target's test: "
        "v1_325.jpg (pid 325)"
    )

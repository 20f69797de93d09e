"""The corpus of drawn vehicles that the demonstration's starting weights are learnt from."""

import csv
from pathlib import Path

import pytest

from data_pipelines.reading.datasets import read
from data_pipelines.synthetic import collections as corpus
from data_pipelines.synthetic.domains import CORPUS, DOMAINS

IDENTITIES, TEST_IDENTITIES, TRIPLES = 1, 1, 2


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "TEST_IDENTITIES", TEST_IDENTITIES)
        patch.setattr(corpus, "TRIPLES", TRIPLES)
        corpus.write_corpus(out, identities=IDENTITIES)
    return out


def rows(out: Path) -> list[dict[str, str]]:
    with (out / corpus.MANIFEST).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_manifest_names_every_photograph_in_visible_light_and_no_other_picture(out):
    there = {str(path.relative_to(out)) for path in out.rglob("vis/*.jpg")}
    assert {row["R"] for row in rows(out)} == there
    assert len(there) < len(list(out.rglob("*.jpg")))


def test_the_corpus_is_a_data_set_of_one_modality_with_identities_and_a_test(out):
    found = read("manifest", str(out))
    assert found.modalities == ("R",)
    assert len({record.pid for record in found.splits["train"]}) == IDENTITIES * len(CORPUS)
    assert {record.pid for record in found.splits["query"]} == {
        record.pid for record in found.splits["gallery"]
    }
    pids = [{record.pid for record in found.splits[split]} for split in ("train", "query")]
    assert not pids[0] & pids[1]


def test_no_two_collections_share_a_vehicle_or_a_camera(out):
    owners: dict[tuple[str, str], set[str]] = {}
    for row in rows(out):
        for kind in ("pid", "camid"):
            owners.setdefault((kind, row[kind]), set()).add(row["R"].split("/")[0])
    assert all(len(collections) == 1 for collections in owners.values())


def test_cameras_and_sensors_are_those_of_no_domain_and_no_other_collection():
    drawn = [*DOMAINS.values(), *CORPUS]
    for setting in ("name", "cast", "gamma", "blur", "noise"):
        values = [getattr(domain, setting) for domain in drawn]
        assert len(set(values)) == len(values), setting
    for collection in CORPUS:
        for domain in DOMAINS.values():
            assert not set(collection.cameras) & set(domain.cameras)


def test_the_same_command_again_changes_nothing(out):
    before = (out / corpus.MANIFEST).read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "TEST_IDENTITIES", TEST_IDENTITIES)
        patch.setattr(corpus, "TRIPLES", TRIPLES)
        corpus.write_corpus(out, identities=IDENTITIES)
    assert (out / corpus.MANIFEST).read_bytes() == before

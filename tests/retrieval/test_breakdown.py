import numpy as np
import pytest
from hypothesis import given

from man_jax.retrieval.breakdown import camera_matrix, figures_by_camera
from man_jax.retrieval.ranking import average_precisions, evaluate_ranking, judge_queries
from tests.oracles.cases import seeds

Q, G = 12, 40
NAMES = ("query_pids", "gallery_pids", "query_groups", "gallery_groups")


def random_case(seed: int):
    rng = np.random.default_rng(seed)
    labels = {
        name: rng.integers(0, most, Q if name.startswith("query") else G)
        for name, most in zip((*NAMES, "query_camids", "gallery_camids"), (4, 4, 3, 3, 3, 4), strict=True)
    }
    return rng.uniform(size=(Q, G)), labels


def only(labels: dict, *names: str) -> dict:
    return {name: labels[name] for name in names}


@given(seeds)
def test_a_cell_is_the_map_of_a_set_that_has_only_these_cameras(seed):
    distances, labels = random_case(seed)
    found = camera_matrix(distances, **labels)
    for i, own in enumerate(found.query_cameras):
        for j, shown in enumerate(found.gallery_cameras):
            rows, columns = labels["query_camids"] == own, labels["gallery_camids"] == shown
            part = {name: labels[name][rows if name.startswith("query") else columns] for name in NAMES}
            alone = average_precisions(distances[rows][:, columns], **part)
            assert found.num_valid[i, j] == np.isfinite(alone).sum()
            expected = np.nanmean(alone) if np.isfinite(alone).any() else np.nan
            assert found.mean_precision[i, j] == pytest.approx(expected, nan_ok=True)


def test_between_a_camera_and_itself_the_rule_of_cameras_leaves_no_match():
    distances, labels = random_case(1)
    labels |= {"query_groups": labels["query_camids"], "gallery_groups": labels["gallery_camids"]}
    found = camera_matrix(distances, **labels)
    for i, own in enumerate(found.query_cameras):
        same = found.gallery_cameras.index(own)
        assert np.isnan(found.mean_precision[i, same])
        assert found.num_valid[i, same] == 0
    assert np.isfinite(found.mean_precision).any()


def test_with_one_camera_on_each_side_the_cell_is_the_map():
    distances, labels = random_case(2)
    labels |= {"query_camids": np.full(Q, 5), "gallery_camids": np.full(G, 8)}
    found = camera_matrix(distances, **labels)
    assert (found.query_cameras, found.gallery_cameras) == ([5], [8])
    assert found.mean_precision[0, 0] == evaluate_ranking(distances, **only(labels, *NAMES)).mAP


def test_the_figures_of_a_camera_are_those_of_its_queries_alone():
    distances, labels = random_case(3)
    figures = judge_queries(distances, **only(labels, *NAMES))
    found = figures_by_camera(figures, labels["query_camids"])
    assert list(found) == np.unique(labels["query_camids"]).tolist()
    for camid, result in found.items():
        own = labels["query_camids"] == camid
        part = {name: labels[name][own] if name.startswith("query") else labels[name] for name in NAMES}
        assert result == evaluate_ranking(distances[own], **part)


def test_a_camera_whose_queries_have_no_match_has_no_figures():
    figures = judge_queries(
        np.zeros((2, 1)), query_pids=[1, 2], gallery_pids=[1], query_groups=[0, 0], gallery_groups=[1]
    )
    found = figures_by_camera(figures, [0, 1])
    assert found[0] is not None
    assert found[0].mAP == 1
    assert found[1] is None

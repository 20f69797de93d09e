"""Planes of features: neighbours stay neighbours, the seed settles the rest, and what is drawn is grouped rightly."""

import numpy as np
import pytest

from man_jax.reporting.embedding import LEAST, Group, Plane, draw_planes, place_on_plane
from man_jax.reporting.feature_planes import TRIPLES, choose_triples, domain_planes, modality_plane


def clusters(num: int = 3, each: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Features around a direction for each identity, and the identities."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(num), each)
    return np.eye(num, 6)[of] + 0.05 * rng.normal(size=(len(of), 6)), of


def test_the_nearest_neighbour_on_the_plane_is_of_the_same_cluster():
    features, of = clusters()
    places = place_on_plane(features, seed=0)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1e9 * np.eye(len(of))
    assert (of[distances.argmin(axis=1)] == of).all()


def test_the_same_seed_gives_the_same_places():
    features, _ = clusters()
    np.testing.assert_array_equal(place_on_plane(features, seed=3), place_on_plane(features, seed=3))


def test_too_few_features_are_refused():
    with pytest.raises(ValueError, match=f"give {LEAST} or more"):
        place_on_plane(np.eye(LEAST - 1), seed=0)


def test_triples_are_chosen_by_identity_and_none_of_an_unknown_one():
    pids = np.array([*np.repeat([4, 7], 30), *[-1] * 5])
    chosen = choose_triples(pids, seed=0)
    assert sorted(pids[chosen]) == [4] * TRIPLES + [7] * TRIPLES
    assert len(set(chosen.tolist())) == len(chosen)


def test_of_an_unlabelled_set_any_triples_are_chosen():
    assert sorted(choose_triples(np.full(9, -1), seed=0)) == list(range(9))


def test_prototypes_are_the_means_of_identities_and_belong_to_their_domain():
    """With one triple an identity, a prototype lies where its triple lies."""
    rows, _ = clusters(6, 1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pids = {"source": np.array([1, 2, 3]), "target": np.array([1, 8, -1])}
    by_domain, by_identity = domain_planes({"source": rows[:3], "target": rows[3:]}, pids, seed=0)
    sizes = {group.label: int(group.chosen.sum()) for group in by_domain.groups}
    assert sizes == {"source": 3, "source, prototypes": 3, "target": 3, "target, prototypes": 2}
    assert [int(group.chosen.sum()) for group in by_identity.groups] == [3, 1, 1, 1, 1]
    assert by_domain.places is by_identity.places


def test_each_modality_has_its_own_colour_and_all_its_triples():
    modal = np.random.default_rng(1).normal(size=(3, 5, 4))
    plane = modality_plane(modal, ["RGB", "NIR", "thermal"], seed=0)
    assert [(group.label, int(group.chosen.sum())) for group in plane.groups] == [
        ("RGB", 5),
        ("NIR", 5),
        ("thermal", 5),
    ]
    assert len({group.colour for group in plane.groups}) == 3


def test_every_point_of_a_plane_is_drawn():
    groups = [
        Group("a", np.array([True, False, True]), "red"),
        Group("", np.array([False, True, False]), "blue"),
    ]
    figure = draw_planes([Plane("title", np.arange(6.0).reshape(3, 2), groups)])
    [place] = figure.axes
    drawn = np.concatenate([np.asarray(each.get_offsets()) for each in place.collections])
    assert sorted(drawn.tolist()) == [[0, 1], [2, 3], [4, 5]]
    assert [text.get_text() for text in place.get_legend().get_texts()] == ["a"]

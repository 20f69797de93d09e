"""A run as a program uses it: features of whatever holds triples, rankings, and evaluations."""

import jax
import numpy as np
import pytest
from PIL import Image

import man_jax
from data_pipelines.reading.records import DataError
from man_jax.config import ConfigError, WorkdirError
from man_jax.engine.evaluation import distances_by_subset, extract_query_gallery
from man_jax.engine.run_data import prepare_test
from man_jax.retrieval.distances import query_gallery_distances
from man_jax.retrieval.errors import FeatureFileError
from man_jax.retrieval.feature_file import write_features
from tests.engine.tiny import D
from tests.small_run import BATCH, GALLERY, QUERY, write_run, write_set, write_triples


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("used")
    write_set(base)
    write_run(base)
    return base


@pytest.fixture(scope="module")
def run(base):
    return man_jax.open_run(base / "run")


@pytest.fixture(scope="module")
def query(run, base):
    return run.features(base / "mine/query")


def pictures(base, split="query", names=QUERY, modalities="RNT"):
    return [tuple(base / "mine" / split / each / name for each in modalities) for name in names]


def test_features_are_those_of_the_evaluation_to_the_bit(run, base):
    data = prepare_test(run.config, None)
    network = run.network(("R", "N", "T"))
    kind = {"batch_size": BATCH, "mesh": run.mesh}
    for subset in ("RNT", "RT", "N"):
        [wanted] = distances_by_subset(
            network.extract, network.variables, data, [subset], present="RNT", **kind
        ).values()
        found = [run.features(base / "mine", subset, split=split).features for split in ("query", "gallery")]
        if subset == "RNT":
            np.testing.assert_array_equal(query_gallery_distances(*found), wanted)
        else:  # a network of fewer branches is another program, whose sums are in another order
            np.testing.assert_allclose(query_gallery_distances(*found), wanted, atol=2e-6)
    tables = extract_query_gallery(network.extract, network.variables, data, **kind)
    np.testing.assert_allclose(run.features(base / "mine/query").features, tables.query.fused, atol=1e-6)


def test_a_feature_is_of_length_one_and_has_a_part_for_each_modality(run, query, base):
    assert query.features.shape == (len(QUERY), 3 * D)
    np.testing.assert_allclose(np.linalg.norm(query.features, axis=1), 1, atol=1e-6)
    of_near_infrared = run.features(base / "mine/query", "N")
    assert of_near_infrared.modalities == ("N",)
    np.testing.assert_allclose(query.features[:, D : 2 * D] * 3**0.5, of_near_infrared.features, atol=1e-5)


def test_what_is_known_of_the_triples_comes_with_the_features(query, run, base):
    assert query.paths == [tuple(map(str, row)) for row in pictures(base)]
    assert query.pids.tolist() == [7, 7, 8]
    assert query.camids.tolist() == [1, 1, 1]
    assert query.about["run"] == str(base / "run")
    assert (query.about["weights"], query.about["image_size"]) == ("step 5", [32, 32])
    whole = run.features(base / "mine")
    assert whole.about["splits"] == {"query": 3, "gallery": 5}
    assert "splits" not in query.about


def test_paths_images_and_arrays_of_the_same_pixels_have_the_same_features(run, query, base):
    paths = pictures(base)
    opened = [tuple(Image.open(path) for path in row) for row in paths]
    arrays = [tuple(np.asarray(image) for image in row) for row in opened]
    mixed = [(str(paths[i][0]), opened[i][1], arrays[i][2]) for i in range(len(paths))]
    for given in (paths, opened, arrays, mixed, iter(paths)):
        np.testing.assert_array_equal(run.features(given).features, query.features)
    found = run.features(mixed)
    assert found.paths[0] == (str(paths[0][0]), "", "")
    assert found.pids.tolist() == found.camids.tolist() == [-1] * 3


def test_an_array_of_triples_of_any_size_is_taken(run):
    triples = np.random.default_rng(0).integers(0, 256, (3, 3, 50, 20, 3), np.uint8)
    found = run.features(triples)
    apart = run.features([tuple(triple) for triple in triples])
    np.testing.assert_array_equal(found.features, apart.features)
    of_two = run.features(triples[:, [0, 2]], "RT")
    np.testing.assert_array_equal(of_two.features, run.features(triples, "RT").features)


def test_images_of_one_modality_need_no_tuples(run, base):
    paths = [row[0] for row in pictures(base)]
    wanted = run.features([(path,) for path in paths], "R").features
    images = [Image.open(path) for path in paths]
    for given in (paths, images, [np.asarray(image) for image in images]):
        np.testing.assert_array_equal(run.features(given, "R").features, wanted)


def test_a_grey_picture_and_one_of_16_bits_are_those_of_a_file(run, tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (30, 20), np.uint8)
    deep = rng.integers(0, 2000, (30, 20)).astype(np.uint16)
    paths = []
    for name, pixels in (("grey", grey), ("deep", deep)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        paths.append(tmp_path / f"{name}.png")
    triple = (paths[0], paths[1], paths[1])
    for given in ((grey, deep, deep), tuple(Image.open(path) for path in triple)):
        found = run.features([given], deep_range=(0, 2000)).features
        np.testing.assert_array_equal(found, run.features([triple], deep_range=(0, 2000)).features)
    assert not np.array_equal(found, run.features([triple]).features)  # the target's range is another


def test_more_triples_than_a_batch_are_in_order_and_do_not_depend_on_it(run):
    triples = np.random.default_rng(0).integers(0, 256, (2 * BATCH + 3, 3, 16, 16, 3), np.uint8)
    found = run.features(triples).features
    np.testing.assert_array_equal(
        found[BATCH + 1 : BATCH + 2], run.features(triples[BATCH + 1 :][:1]).features
    )
    np.testing.assert_allclose(run.features(triples, batch_size=3 * BATCH).features, found, atol=1e-6)


def test_the_weights_before_adaptation_are_others(run, query, base):
    before = man_jax.open_run(str(base / "run"), pretrained=True)
    assert before.description == "pre-trained"
    assert np.abs(before.features(base / "mine/query").features - query.features).max() > 1e-3
    with pytest.raises(FeatureFileError, match="are not of the same network"):
        run.rank(before.features(base / "mine/query"), query)


def test_the_nearest_are_found_in_features_files_of_them_and_triples_alike(run, query, base, tmp_path):
    gallery = run.features(base / "mine/gallery")
    distances = ((query.features[:, None] - gallery.features[None]) ** 2).sum(-1) / 2
    wanted = np.argsort(distances, axis=1, kind="stable")[:, :2]
    files = [tmp_path / "query.npz", tmp_path / "gallery.parquet"]
    for path, features in zip(files, (query, gallery), strict=True):
        write_features(path, features)
    for given in ((query, gallery), files, (pictures(base), base / "mine/gallery")):
        ranking = run.rank(*given, k=2)
        np.testing.assert_array_equal(ranking.indices, wanted)
        np.testing.assert_allclose(ranking.distances, np.take_along_axis(distances, wanted, 1), atol=1e-5)
        assert ranking.paths[0][0] == gallery.paths[wanted[0, 0]]
    assert run.rank(query, gallery, k=99).indices.shape == (3, 5)
    assert run.rank(query, query, k=1).indices[:, 0].tolist() == [0, 1, 2]


def test_features_of_other_modalities_are_not_compared(run, query, base):
    with pytest.raises(
        FeatureFileError, match="the query has features of the modalities RN, the gallery of RNT"
    ):
        run.rank(run.features(base / "mine/query", "RN"), query)


def test_the_figures_of_a_set_are_those_of_its_ranking(run, base):
    figures = run.evaluate()
    assert figures.keys() == {"mAP", "R1", "R5", "R10", "mINP"}
    assert run.evaluate(base / "mine") == figures
    ranking = run.rank(base / "mine/query", base / "mine/gallery", k=1)
    firsts = [QUERY[q][0] == GALLERY[row[0]][0] for q, row in enumerate(ranking.indices)]
    assert figures["R1"] == np.mean(firsts)
    assert run.evaluate(modalities="RN") != figures


@pytest.mark.parametrize(
    ("given", "keywords", "error", "message"),
    [
        ([], {}, DataError, "there is no triple"),
        ("nowhere", {}, DataError, "does not exist"),
        ([("a.png", "b.png")], {}, DataError, "triple 0 has 2 images; 3 are wanted, of R, N, T"),
        (["a.png"], {}, DataError, "triple 0 is str; give a list of triples"),
        (("a.png", "b.png", "c.png"), {}, DataError, "give a list of triples, each a tuple of 3"),
        ([("a.png", "b.png", "c.png")], {}, DataError, "3 files cannot be used"),
        ({"R": "a.png"}, {}, DataError, "the triples are dict"),
        (3, {}, DataError, "the triples are int"),
        ([(1, 2, 3)], {}, DataError, "triple 0, R: is int; give a path"),
        (np.zeros((2, 3, 9, 9, 3), np.float32), {}, DataError, "triple 0, R: is an array of float32"),
        (np.zeros((3, 9, 9, 3), np.uint8), {}, DataError, "shape [3, 9, 9, 3]; it must be [N, M, H, W, 3]"),
        (np.zeros((1, 3, 4, 9, 3), np.uint8), {}, DataError, "triple 0, R: is 9x4 pixels, at least 8 a side"),
        ([(np.zeros((9, 9, 4), np.uint8),) * 3], {}, DataError, "shape [9, 9, 4]; an image is [H, W, 3]"),
        ([(Image.new("F", (9, 9)),) * 3], {}, DataError, "holds fractions"),
        ([], {"modalities": "RX"}, ConfigError, "modalities 'RX': write each once, of R, N, T"),
        ([], {"modalities": "RR"}, ConfigError, "write each once"),
        ([], {"modalities": ""}, ConfigError, "write each once"),
        ([], {"batch_size": 0}, ConfigError, "batch_size is 0"),
        ([], {"split": "query"}, ConfigError, "of a folder or a table only"),
        ([], {"deep_range": (9, 3)}, DataError, "deep_range is 9, 3"),
    ],
)
def test_what_holds_no_triples_is_refused_in_one_line(run, given, keywords, error, message):
    with pytest.raises(error) as caught:
        run.features(given, **keywords)
    assert message in str(caught.value)


def test_all_files_that_cannot_be_read_are_told_before_any_computing(run, tmp_path, monkeypatch):
    folder = write_triples(tmp_path, ("a.png", "b.png"), seed=7)
    (folder / "T/a.png").write_bytes((folder / "T/a.png").read_bytes()[:-400])
    (folder / "R/b.png").write_text("not found")
    monkeypatch.setattr(run, "network", None)
    for given in (folder, [tuple(folder / each / name for each in "RNT") for name in ("a.png", "b.png")]):
        with pytest.raises(DataError, match="2 files cannot be used:") as caught:
            run.features(given)
        assert all(str(folder / name) in str(caught.value) for name in ("T/a.png", "R/b.png"))


def test_a_table_without_labels_is_enough(run, base, query):
    rows = "".join(f"mine/query/R/{n},mine/query/N/{n},mine/query/T/{n}\n" for n in QUERY)
    (base / "table.csv").write_text("R,N,T\n" + rows)
    found = run.features(base / "table.csv")
    np.testing.assert_array_equal(found.features, query.features)
    assert found.paths == query.paths


def test_a_folder_that_is_no_run_is_refused(tmp_path, base):
    with pytest.raises(WorkdirError, match=r"config\.json does not exist"):
        man_jax.open_run(tmp_path)
    (tmp_path / "config.json").write_bytes((base / "run/config.json").read_bytes())
    with pytest.raises(ConfigError, match="checkpoint"):
        man_jax.open_run(tmp_path)


def test_weights_that_are_broken_are_told_and_give_no_features(run, base, monkeypatch):
    network = run.network(("R", "N", "T"))
    variables = {name: {"branches": _nan(tree["branches"])} for name, tree in network.variables.items()}
    monkeypatch.setitem(run._networks, ("R", "N", "T"), network._replace(variables=variables))
    with pytest.raises(FloatingPointError, match="triples 0 to 2 are not finite"):
        run.features(base / "mine/query")


def _nan(tree):
    return jax.tree.map(lambda leaf: leaf * np.nan, tree)


def test_a_folder_of_two_modalities_is_used_with_these_branches(run, tmp_path):
    folder = write_triples(tmp_path / "two", ("a.png", "b.png"), seed=5, modalities="RN")
    assert run.features(folder).modalities == ("R", "N")
    with pytest.raises(DataError, match="has the modalities R, N, not T"):
        run.features(folder, "RNT")

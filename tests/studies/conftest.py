"""Two small data sets for the studies' tests."""

import pytest

from tests.data_pipelines.trees import write_rgbnt100, write_wmveid863


@pytest.fixture(scope="module")
def small_data(tmp_path_factory) -> dict[str, str]:
    """Keys of two data sets of two training identities and three triples each, and what fits them."""
    base = tmp_path_factory.mktemp("data")
    return {
        "data.source.root": str(write_rgbnt100(base / "RGBNT100")),
        "data.target.root": str(write_wmveid863(base / "WMVeID863")),
        "batch.identities": 2,
        "adapt.num_clusters": 2,
    }

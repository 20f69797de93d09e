from pathlib import Path

import pytest

from tests.data_pipelines.trees import write_wmveid863


@pytest.fixture
def tree(tmp_path) -> Path:
    """A small set in WMVeID863's layout."""
    return write_wmveid863(tmp_path / "source")

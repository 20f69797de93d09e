"""A tree in WMVeID863's layout, prepared beside itself."""

from pathlib import Path

from data_pipelines.reading.readers import wmveid863
from data_pipelines.storing import builders

SIZE = (16, 12)


def prepare(tree: Path) -> Path:
    """The folder of the shards."""
    return builders.prepare(wmveid863.read(tree), tree.parent / "out", image_size=SIZE)

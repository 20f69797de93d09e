"""What the triples of a split are, in digests that depend neither on where the files are nor on when they changed.

They are kept beside the prepared images, so that whoever trained on a data set knows it again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.reading.records import Record

LABELS = "labels"
"""The digest of the identities, cameras and scenes; the others go by their modality."""


def split_fingerprint(
    records: Sequence[Record], modalities: Sequence[str], digests: Mapping[Path, str]
) -> dict[str, str]:
    """One digest of what the triples are called, and one of the images of each modality, all in their order.

    `digests` gives that of each file's bytes. File names do not count: they change nothing that is learnt.
    """
    labels = hashlib.sha256()
    images = {modality: hashlib.sha256() for modality in modalities}
    for record in records:
        labels.update(_line([record.pid, record.camid, record.scene]))
        for modality, image in zip(modalities, record.images, strict=True):
            images[modality].update(_line([digests[image.path], image.box]))
    found = {LABELS: labels} | images
    return {name: digest.hexdigest() for name, digest in found.items()}


def _line(values: Sequence[object]) -> bytes:
    return (json.dumps(values) + "\n").encode()

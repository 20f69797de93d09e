"""Compute digests of a split's triples, which depend neither on the place of the files nor on their times.

They are kept beside the prepared images, so that a run can recognise its data.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.reading.records import Record

LABELS = "labels"
"""The name of the digest of identities, cameras and scenes; the other digests have the names of modalities."""


def split_fingerprint(
    records: Sequence[Record], modalities: Sequence[str], digests: Mapping[Path, str]
) -> dict[str, str]:
    """Compute one digest of the labels, and one of the images of each modality; the order of the triples counts.

    `digests` has the digest of each file's bytes. File names do not count, because they change nothing that is learnt.
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

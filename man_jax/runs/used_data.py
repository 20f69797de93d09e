"""Which data a run learnt from and was evaluated on: counts and fingerprints, kept in its work directory.

They depend neither on where the data lie nor on when they were written, so that data mounted elsewhere are known again.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.checking.fingerprints import LABELS
from data_pipelines.storing.prepared import PreparedDataset, PreparedSplit
from man_jax.config import Config, WorkdirError
from man_jax.runs.metrics import replace_file
from man_jax.runs.past_config import DATA, read_json
from man_jax.runs.versions import versions

UsedData = dict[str, Any]
"""{source: {name, train}, target: {name, train, query, gallery}}; a split is triples, identities and fingerprints."""

SPLITS = {"source": ("train",), "target": ("train", "query", "gallery")}
RESTORE = "restore it from a copy; without it nobody can tell whether the data are still those of the run"


def describe_data(source: PreparedDataset, target: PreparedDataset) -> UsedData:
    """What `check_data` compares, of the modalities that are loaded."""
    return {
        side: {"name": data.name}
        | {split: _describe(getattr(data, split), data.modalities) for split in SPLITS[side]}
        for side, data in (("source", source), ("target", target))
    }


def write_data(workdir: Path, used: UsedData, *, weights: str = "") -> None:
    """Keep them, with the versions at work and the digest of the weights that the run starts from."""
    kept = {"versions": versions(), "weights": weights} | used
    replace_file(workdir / DATA, json.dumps(kept, indent=2) + "\n")


def read_data(workdir: Path) -> UsedData | None:
    """What a run kept of its data, or None if it is of a version that kept nothing; WorkdirError if it is damaged."""
    if not (workdir / DATA).is_file():
        return None
    found = read_json(workdir / DATA, RESTORE)
    if not _is_whole(found):
        raise WorkdirError(f"{workdir / DATA} lacks the description of a split; {RESTORE}")
    return found


def check_data(workdir: Path, here: UsedData, data: Config) -> None:
    """Compare the data of this start (`config.data`) with those that the run in `workdir` began with.

    Raises:
        WorkdirError: they changed; the message names set, split, what changed, and the remedies.
    """
    there = read_data(workdir)
    if there is None:
        return
    changes = [
        f"{split} of the {side} {there[side]['name']} in {data[side].root} {change}"
        for side, splits in SPLITS.items()
        for split in splits
        if (change := _change(there[side][split], here[side][split]))
    ]
    if changes:
        raise WorkdirError(
            f"{workdir} began with other data: {'; '.join(changes)}. Restore the data of then, or name where they are "
            f"(--config.data.source.root, --config.data.target.root), or train on these in another --workdir"
        )


def same_identities(there: UsedData, here: UsedData) -> str | None:
    """What makes the source of a run another one than this, or None."""
    if there["source"]["name"] != here["source"]["name"]:
        return f"{there['source']['name']} there and {here['source']['name']} here"
    change = _change(there["source"]["train"], here["source"]["train"])
    return change and f"its train {change}"


def _is_whole(found: UsedData) -> bool:
    """Whether each split is described by what `_describe` writes."""
    try:
        described = [found[side][split] for side in SPLITS for split in SPLITS[side]]
        named = all(isinstance(found[side]["name"], str) for side in SPLITS)
        counted = all(isinstance(each[key], int) for each in described for key in ("triples", "identities"))
        return named and counted and all(isinstance(each["fingerprints"], dict) for each in described)
    except (KeyError, TypeError):
        return False


def _describe(split: PreparedSplit, modalities: tuple[str, ...]) -> dict[str, Any]:
    kept = {name: digest for name, digest in split.fingerprints.items() if name in (LABELS, *modalities)}
    return {
        "triples": len(split),
        "identities": len(np.unique(split.pids[split.pids >= 0])),
        "fingerprints": kept,
    }


def _change(there: dict[str, Any], here: dict[str, Any]) -> str | None:
    counts = [(each["triples"], each["identities"]) for each in (there, here)]
    if counts[0] != counts[1]:
        (triples, identities), (now, now_identities) = counts
        return f"had {triples} triples of {identities} identities and has {now} of {now_identities}"
    told, found = there["fingerprints"], here["fingerprints"]
    wrong = [name for name in told if name in found and told[name] != found[name]]
    if not wrong:
        return None
    what = ["other pids, camids or scenes"] if LABELS in wrong else []
    if images := [name for name in wrong if name != LABELS]:
        what.append(f"other image files of {', '.join(images)}")
    return f"has as many triples ({counts[0][0]}) as then, but {' and '.join(what)}"

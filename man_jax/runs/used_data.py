"""Keep counts and fingerprints of a run's data in its work directory, and compare them when the run goes on.

They depend neither on the place of the data nor on the time at which they were written, so data that were moved are
recognised.
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
from man_jax.runs.versions import commit, versions

UsedData = dict[str, Any]
"""{source: {name, train}, target: {name, train, query, gallery}}; a split has triples, identities and fingerprints."""

SPLITS = {"source": ("train",), "target": ("train", "query", "gallery")}
RESTORE = "restore it from a copy; without it nobody can tell whether the data are still those of the run"


def describe_data(source: PreparedDataset, target: PreparedDataset) -> UsedData:
    """Describe the data of a run for `check_data`; only the modalities that are loaded count."""
    return {
        side: {"name": data.name}
        | {split: _describe(getattr(data, split), data.modalities) for split in SPLITS[side]}
        for side, data in (("source", source), ("target", target))
    }


def describe_test(data: PreparedDataset) -> UsedData:
    """Describe query and gallery of a data set; only the modalities that are loaded count."""
    return {split: _describe(getattr(data, split), data.modalities) for split in ("query", "gallery")}


def write_data(workdir: Path, used: UsedData, *, weights: str = "") -> None:
    """Write the description of the data, the versions, the commit, and the digest of the weights at the beginning."""
    kept = {"versions": versions(), "commit": commit(), "weights": weights} | used
    replace_file(workdir / DATA, json.dumps(kept, indent=2) + "\n")


def read_data(workdir: Path) -> UsedData | None:
    """Read the description of a run's data; None if its version kept none, WorkdirError if it is damaged."""
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
    """Say how the source of a run differs from this one; None if it does not."""
    if there["source"]["name"] != here["source"]["name"]:
        return f"{there['source']['name']} there and {here['source']['name']} here"
    change = _change(there["source"]["train"], here["source"]["train"])
    return change and f"its train {change}"


def _is_whole(found: UsedData) -> bool:
    """Tell whether each split has the description that `_describe` makes."""
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

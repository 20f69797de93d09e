"""Gather what a model card must tell of a run: its data, how many there were, whether they were drawn, its figures."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from data_pipelines.reading.datasets import FACTS
from data_pipelines.synthetic.writer import RECIPE
from man_jax.config import Config
from man_jax.runs.metrics import SUMMARY_FILE
from man_jax.runs.past_config import read_json
from man_jax.runs.starting_weights import given_weights
from man_jax.runs.used_data import SPLITS, read_data

Drawn = Literal["drawn", "not drawn", "unknown"]


class SplitFacts(NamedTuple):
    """How many triples and identities of a split the run saw, and what is published of the set of that name."""

    name: str
    triples: int
    identities: int
    published: tuple[int, int] | None


class DomainFacts(NamedTuple):
    """The data set of one domain."""

    side: str
    """source | target"""
    name: str
    drawn: Drawn
    removal: str
    """Which gallery triples of a query's own identity are not ranked, in words."""
    splits: tuple[SplitFacts, ...]


class CardFacts(NamedTuple):
    """What a model card tells of a run, without any path of the machine."""

    domains: tuple[DomainFacts, ...]
    summary: dict[str, Any] | None
    """None: the run has not finished."""
    initial_weights: str


def card_facts(workdir: Path, config: Config) -> CardFacts:
    """Collect the facts from the work directory and from the folders of the data, if these are still there.

    Raises:
        WorkdirError: a file of the work directory is damaged.
    """
    used = read_data(workdir) or {}
    domains = []
    for side in SPLITS:
        data = config.data[side]
        facts = FACTS.get(data.name)
        told = used.get(side, {})
        splits = tuple(
            SplitFacts(
                split,
                told[split]["triples"],
                told[split]["identities"],
                facts.published.get(split) if facts else None,
            )
            for split in SPLITS[side]
            if split in told
        )
        removal = _removal(facts.removal if facts and facts.published else None)
        domains.append(DomainFacts(side, data.name, was_drawn(data.name, data.root), removal, splits))
    summary = None
    if (workdir / SUMMARY_FILE).is_file():
        summary = read_json(workdir / SUMMARY_FILE, "let the run finish")
    return CardFacts(tuple(domains), summary, _without_folders(given_weights(config)))


def was_drawn(name: str, root: str) -> Drawn:
    """Tell whether our renderer drew the images below `root`, by the recipe that it leaves beside them."""
    folder = Path(root)
    if not root or not folder.exists():
        return "unknown"
    names = FACTS[name].root_names if name in FACTS else ()
    places = [folder, folder.parent, *(folder / each for each in names)]
    return "drawn" if any((place / RECIPE).is_file() for place in places) else "not drawn"


def _removal(rule: str | None) -> str:
    if rule is None:
        return "same pid and same camid, or same pid and same scene where the data have scenes"
    return f"same pid and same {rule}"


def _without_folders(weights: str) -> str:
    if not weights:
        return "random weights"
    return weights if weights.startswith("hf:") else Path(weights).name

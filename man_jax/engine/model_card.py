"""Write the model card of a run for the Hugging Face hub: what was learnt from which data, and how it was measured."""

from collections.abc import Iterator, Sequence
from typing import Any

from man_jax.config import Config
from man_jax.engine.card_facts import CardFacts, DomainFacts

FIGURES = ("mAP", "R1", "R5", "R10", "mINP")
ROWS = {
    "source_only": "before adaptation",
    "start": "the weights that this run began from",
    "adapted": "after the last epoch of adaptation",
}
DRAWN = {
    "drawn": "**drawn by a program** of man_jax in the layout of that set; no image of the real set is among them",
    "not drawn": "images of the user's folder; man_jax's own program did not draw them",
    "unknown": "the images were not at hand when this card was written, so it is not known whether they were drawn",
}
LOAD = """\
```python
# pip install man_jax huggingface_hub; then train from these weights:
#   python -m man_jax.train --config ... --config.model.pretrained={name}
# or evaluate them on your own triples:
#   python -m man_jax.evaluate --run {name} --dataset folder --root /data/mine
from safetensors.numpy import load_file

arrays = load_file("model.safetensors")  # R.layer1..., R.neck.weight, N.…: a branch behind each letter
```
`{name}` is a local copy of this repository (`hf download OWNER/NAME --local-dir {name}`).
"""


def model_card(
    facts: dict[str, Any],
    config: Config,
    told: CardFacts,
    *,
    license_name: str,
    pictures: Sequence[str],
    name: str,
) -> str:
    """Write the card in Markdown, with the header in YAML that the hub reads; `name`: the folder's name."""
    height, width = facts["image_size"]
    modalities = ", ".join(facts["modalities"])
    size = f"{height}×{width}"
    parts = [
        *_header(license_name),
        f"# {facts['experiment']}",
        f"A network that finds the same object in other cameras, from images of {modalities}: one branch of "
        f"`{facts['backbone']}` for each modality. It was trained with man_jax by the method `{config.method}`. The "
        f"weights are those of: {facts['weights']}. They began from {told.initial_weights}.",
        *(f"![{picture}]({picture})" for picture in pictures),
        "## Data",
        *_data(told.domains),
        "## Protocol",
        *_protocol(config, told),
        "## Figures",
        *_figures(facts, config, told.summary),
        "## Images",
        f"Height × width {size}, {facts['image_resize']}; then (x / 255 − mean) / std with mean {facts['mean']} "
        f"and std {facts['std']}. A modality with one channel is repeated three times. The order of the modalities is "
        f"{modalities}.",
        "## Use",
        LOAD.format(name=name),
        "## Licence",
        _licence(license_name),
        "Written by " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()) + ".",
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _header(license_name: str) -> Iterator[str]:
    yield "\n".join(
        [
            "---",
            f"license: {license_name}",
            "library_name: man_jax",
            "pipeline_tag: image-feature-extraction",
            "tags: [re-identification, multi-modality, domain-adaptation, jax]",
            "---",
        ]
    )


def _data(domains: Sequence[DomainFacts]) -> Iterator[str]:
    for domain in domains:
        yield f"- {domain.side}: `{domain.name}`, {DRAWN[domain.drawn]}."
    rows = [
        f"| {domain.side} | {split.name} | {split.triples:,} | {split.identities:,} | {_published(split.published)} |"
        for domain in domains
        for split in domain.splits
    ]
    if not rows:
        yield "The run kept no record of how many triples there were."
        return
    head = [
        "| domain | split | triples | identities | published of the set of that name |",
        "|---|---|---:|---:|---|",
    ]
    yield "\n".join(head + rows)


def _published(counts: tuple[int, int] | None) -> str:
    return "–" if counts is None else f"{counts[0]:,} triples of {counts[1]:,} identities"


def _protocol(config: Config, told: CardFacts) -> Iterator[str]:
    target = next(domain for domain in told.domains if domain.side == "target")
    if not config.adapt.epochs:
        yield "Trained on the labelled source alone; there was no adaptation."
    elif config.adapt.labels == "truth":
        yield (
            "**Adapted with the target's true labels** (an oracle, `adapt.labels=truth`), so this is no unsupervised "
            "result."
        )
    else:
        both = "both domains" if config.adapt.protocol == "uda" else "the target alone, after pre-training"
        yield f"Source labels were used, target labels were not. Adaptation was on {both}."
    yield (
        f"Every query of the target is ranked against its gallery, without the gallery triples of the "
        f"{target.removal}. A query without a match left is not counted."
    )


def _figures(facts: dict[str, Any], config: Config, summary: dict[str, Any] | None) -> Iterator[str]:
    if summary is None:
        yield "The run had not finished when this card was written, so no figures are given."
        return
    rows = [
        f"| {text} | " + " | ".join(_percent(summary[key].get(name)) for name in FIGURES) + " |"
        for key, text in ROWS.items()
        if isinstance(summary.get(key), dict) and (key != "adapted" or config.adapt.epochs)
    ]
    head = [f"| in % | {' | '.join(FIGURES)} |", "|---|" + "---:|" * len(FIGURES)]
    yield "\n".join(head + rows)
    which = "before adaptation" if facts["weights"] == "pre-trained" else "of the last row"
    yield (
        f"One run, seed {summary.get('seed')}, {summary.get('valid_queries')} queries; the weights here are those "
        f"{which}. The last epoch is reported, not the best on the test identities."
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _licence(name: str) -> str:
    if name == "unknown":
        return (
            "The code of man_jax is under Apache-2.0. The licence of these weights was not stated; the terms of the "
            "data and of the first weights may limit their use."
        )
    return (
        f"These weights: {name}. The code of man_jax: Apache-2.0. The terms of the data and of the first weights hold "
        "too."
    )

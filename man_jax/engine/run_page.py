"""Make the page of a run: what its files say, and what its network does."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh

from data_pipelines.contact_sheet.strips import STRIP_HEIGHT, strip_width
from data_pipelines.reading.records import DataError
from man_jax import methods
from man_jax.config import Config, WorkdirError, flat
from man_jax.configs import default
from man_jax.engine import page_retrieval
from man_jax.engine.evaluation import extract_query_gallery, retrieval_distances
from man_jax.engine.report import METRICS, describe, summarize
from man_jax.engine.run_data import prepare_side
from man_jax.engine.trained_network import TrainedNetwork, open_tested
from man_jax.reporting.curves import LABELS, draw_curves
from man_jax.reporting.embedding import draw_planes
from man_jax.reporting.loss_shares import last_terms
from man_jax.reporting.pages.render import figure_url, render
from man_jax.reporting.series import named_series
from man_jax.runs.epoch_times import usual_times
from man_jax.runs.metrics import read_history
from man_jax.runs.multi_process import OtherProcessError, in_step
from man_jax.runs.past_config import run_config
from man_jax.runs.used_data import UsedData, read_data
from man_jax.runs.versions import UNKNOWN, commit, versions

NAMES = {
    "source_only": "source only",
    "start": "at the start",
    "adapted": "adapted",
    "best_on_test": "best epoch *",
}
WIDEST = 270
"""Pixels on the screen."""
NOTE = "* This epoch was chosen on the test identities, so it is no result."


def run_page(workdir: Path, *, num_queries: int, seed: int, mesh: Mesh) -> str:
    """Make the HTML of a run from its files, its weights and its data.

    What needs data that are gone is left out, and the page says why.

    Raises:
        WorkdirError: the run has not been evaluated yet, or its files cannot be read.
    """
    config = run_config(workdir)
    history = read_history(workdir)
    if not any("eval/mAP" in row for row in history):
        raise WorkdirError(f"{workdir} has no figures yet; train until the first evaluation")
    figures, used = summarize(history), read_data(workdir) or {}
    network = open_tested(workdir, config, mesh=mesh)
    height, width = _strip_size(config)
    return render(
        "run.html",
        title=describe(config),
        about=f"{_method_of(config)}; weights of {network.description}; {workdir}",
        tiles=_tiles(figures),
        results=_results(figures),
        curves=figure_url(draw_curves(history, weights=methods.find(config.method).weights(config))),
        labels=_labels(history),
        losses=_losses(history, config),
        keys=_changed_keys(config),
        config=sorted((key, repr(value)) for key, value in flat(config).items()),
        data=_data(used),
        setting=_setting(workdir, config, used),
        modalities=", ".join(config.model.modalities),
        strip_height=height,
        strip_width=width,
        **_retrieval(network, config, num_queries=num_queries, seed=seed, mesh=mesh),
    )


def _method_of(config: Config) -> str:
    """Name the method, and the labels if they are true ones."""
    return f"method {config.method}" + (
        ", true labels of the target" if config.adapt.labels == "truth" else ""
    )


def _strip_size(config: Config) -> tuple[int, int]:
    """Give the height and width of a strip on the page, at most `STRIP_HEIGHT` high and `WIDEST` wide."""
    height, width = config.data.image_size
    aspect = strip_width(len(config.model.modalities), width) / height
    shown = min(STRIP_HEIGHT, WIDEST / aspect)
    return round(shown), round(shown * aspect)


def _tiles(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    before = next(name for name in ("source_only", "start") if name in figures)
    return [
        (f"mAP, {NAMES[before]}", _percent(figures[before]["mAP"])),
        ("mAP, adapted", _percent(figures["adapted"]["mAP"])),
        ("R1, adapted", _percent(figures["adapted"]["R1"])),
        ("queries", str(figures["valid_queries"])),
    ]


def _results(figures: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [label, *(_percent(figures[name][metric]) for metric in METRICS)]
        for name, label in NAMES.items()
        if name in figures
    ]
    return {"heads": ["", *METRICS], "rows": rows, "note": NOTE}


def _labels(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    adapt = [row for row in history if row["phase"] == "adapt"]
    return [(label, _percent(series.values[-1])) for label, series in named_series(adapt, LABELS).items()]


def _losses(history: Sequence[Mapping[str, Any]], config: Config) -> list[list[str]]:
    """List the terms of the last epoch: weight, value, their product, and its share of all products."""
    phase = history[-1]["phase"]
    rows = [row for row in history if row["phase"] == phase]
    weights = methods.find(config.method).weights(config) if phase == "adapt" else {}
    return [
        [
            term.label,
            f"{term.weight:g}",
            f"{term.weighted / term.weight:.3g}" if term.weight else "–",
            f"{term.weighted:.3g}",
            f"{100 * term.share:.0f} %",
        ]
        for term in last_terms(rows, weights)
    ]


def _changed_keys(config: Config) -> list[tuple[str, str, str]]:
    there, here = flat(default.get_config()), flat(config)
    others = {name for name in methods.names() if name != config.method}
    return [
        (f"config.{key}", repr(there.get(key)), repr(value))
        for key, value in sorted(here.items())
        if there.get(key) != value and key.partition(".")[0] not in others
    ]


def _data(used: UsedData) -> list[list[str]]:
    """List how many triples and identities each split had."""
    return [
        [f"{side}, {used[side]['name']}, {split}", f"{sizes['triples']:,}", f"{sizes['identities']:,}"]
        for side in ("source", "target")
        for split, sizes in used.get(side, {}).items()
        if isinstance(sizes, Mapping)
    ]


def _setting(workdir: Path, config: Config, used: UsedData) -> list[tuple[str, str]]:
    there = used.get("versions", {})
    now = versions()
    times = usual_times(workdir)
    rows = [
        ("source", f"{config.data.source.name} in {config.data.source.root}"),
        ("target", f"{config.data.target.name} in {config.data.target.root}"),
        ("run begun with", ", ".join(f"{name} {version}" for name, version in there.items()) or UNKNOWN),
        ("run begun at commit", used.get("commit", UNKNOWN)),
        ("page made at commit", commit()),
        ("page made with", ", ".join(f"{name} {version}" for name, version in now.items())),
        ("Python and machine of the page", f"{platform.python_version()}, {platform.platform()}"),
    ]
    return [*rows, *((f"{name}, usual epoch", f"{value:.1f} s") for name, value in times.items())]


def _retrieval(
    network: TrainedNetwork, config: Config, *, num_queries: int, seed: int, mesh: Mesh
) -> dict[str, Any]:
    """Collect the sections that need data; each is left out, with the reason, if its data are gone."""
    kind = {"batch_size": config.evaluation.batch_size, "mesh": mesh}
    sections = ("lists", "cameras", "activation", "plane")
    try:
        with in_step():
            target = prepare_side(config, "target")
    except (DataError, OtherProcessError) as error:
        return {section: _left_out(error) for section in sections}
    features = extract_query_gallery(network.extract, network.variables, target, **kind)
    distances = retrieval_distances(features)
    some = np.linspace(0, len(target.query) - 1, min(page_retrieval.NUM_ACTIVATIONS, len(target.query)))
    try:
        with in_step():
            domains = {"source": prepare_side(config, "source"), "target": target}
        planes = page_retrieval.feature_planes(network, domains, seed=seed, **kind)
        plane = {"missing": "", "seed": seed, "picture": figure_url(draw_planes(planes))}
    except (DataError, OtherProcessError) as error:
        plane = _left_out(error)
    return {
        "lists": page_retrieval.ranking_lists(distances, target, number=num_queries, seed=seed),
        "cameras": page_retrieval.camera_picture(distances, target),
        "activation": page_retrieval.activation_pairs(network, target, some.astype(int).tolist()),
        "plane": plane,
    }


def _left_out(error: Exception) -> dict[str, str]:
    return {"missing": f"Left out: {str(error).splitlines()[0]}"}


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}" if np.isfinite(fraction) else "–"

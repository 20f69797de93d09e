"""Write the rows of an evaluation as tables for the terminal, and as a record for evaluation.json."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from man_jax.engine.evaluation_rows import Asked, Row
from man_jax.reporting.result_tables import cameras_table, intervals_table, results_table
from man_jax.retrieval.bootstrap import SHARE


def rows_text(rows: Mapping[str, Row], asked: Asked) -> str:
    """Write the tables of all rows for the terminal."""
    texts = [results_table({name: row.result.as_dict() for name, row in rows.items()})]
    if asked.draws:
        told = f"{100 * SHARE:.0f} % intervals and medians, by {asked.draws} draws of the query identities:"
        texts += [told, intervals_table({name: row.intervals for name, row in rows.items()})]
    for name, row in rows.items():
        if row.matrix:
            by_camera = {camid: result and result.as_dict() for camid, result in row.cameras.items()}
            told = f"{name}: mAP of the queries of one camera over the gallery of another:"
            texts += [told, cameras_table(*row.matrix[:2], row.matrix.mean_precision.tolist(), by_camera)]
    return "\n\n".join(texts)


def rows_record(rows: Mapping[str, Row], asked: Asked) -> dict[str, Any]:
    """Describe the options and all rows for evaluation.json; a figure that nothing is known of is null."""
    record = _options(asked) | {
        "figures": {name: row.result.as_dict() for name, row in rows.items()},
        "queries": {
            name: {"valid": row.result.num_valid, "skipped": row.result.num_skipped}
            for name, row in rows.items()
        },
    }
    if asked.draws:
        record["intervals"] = {
            name: {figure: each._asdict() for figure, each in row.intervals.items()}
            for name, row in rows.items()
        }
    if asked.breakdown:
        record["cameras"] = {name: _cameras_record(row) for name, row in rows.items()}
    return record


def _cameras_record(row: Row) -> dict[str, Any]:
    by_query = {
        str(camid): result and result.as_dict() | {"queries": result.num_valid}
        for camid, result in row.cameras.items()
    }
    if row.matrix is None:
        return {"by_query_camera": by_query}
    mean = [
        [None if np.isnan(value) else value for value in line] for line in row.matrix.mean_precision.tolist()
    ]
    return {
        "by_query_camera": by_query,
        "query_cameras": row.matrix.query_cameras,
        "gallery_cameras": row.matrix.gallery_cameras,
        "mAP": mean,
        "queries": row.matrix.num_valid.tolist(),
    }


def _options(asked: Asked) -> dict[str, Any]:
    """Describe the options; null is what was not asked for."""
    found: dict[str, Any] = dict.fromkeys(("query_expansion", "rerank", "bootstrap"))
    if asked.expansion:
        found["query_expansion"] = asked.expansion._asdict()
    if asked.reranking:
        k1, k2, weight = asked.reranking
        found["rerank"] = {"k1": k1, "k2": k2, "lambda": weight}
    if asked.draws:
        found["bootstrap"] = {"draws": asked.draws, "seed": asked.seed, "share": SHARE}
    return found

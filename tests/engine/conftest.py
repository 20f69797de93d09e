"""Two domains without files and without a network, for what happens between the steps."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from man_jax.engine import phases
from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.step_meter import StepMeter
from man_jax.frame import ByDomain, FeatureTable
from man_jax.methods import man
from man_jax.runs.time_left import Plan, RunClock
from man_jax.sharding import make_mesh
from tests.engine.splits import new_domain
from tests.engine.tiny import NUM_SOURCE, NUM_TARGET, NUM_TRIPLES, D, M, new_frame, new_state
from tests.oracles.cases import unit_normal


@pytest.fixture
def parts(monkeypatch) -> SimpleNamespace:
    """The parts of a run of MAN with two domains, whose features are the same at every call.

    `extracted` tells of which triples they were asked for, and with which variables.
    """
    rng = np.random.default_rng(0)
    source, target = (new_domain(100 + np.arange(NUM_TRIPLES) % n) for n in (NUM_SOURCE, NUM_TARGET))
    tables = {
        name: FeatureTable(
            unit_normal(rng, M, NUM_TRIPLES, D).astype(np.float32),
            unit_normal(rng, NUM_TRIPLES, M * D).astype(np.float32),
            unit_normal(np.random.default_rng(1), M, NUM_TRIPLES, D).astype(np.float32),
        )
        for name in ("source", "target")
    }
    extracted: list = []

    def extract_table(_, variables, split, **__) -> FeatureTable:
        extracted.append((split, variables))
        return tables["source" if split is source.data.train else "target"]

    monkeypatch.setattr(phases, "extract_table", extract_table)
    frame = new_frame(**{"adapt.iterations": 3, "batch.identities": 3, "batch.instances": 2})
    return SimpleNamespace(
        config=frame.config,
        frame=frame,
        method=man,
        domains=ByDomain(source, target),
        mesh=make_mesh(jax.devices()[:1]),
        extract=None,
        features_folder=None,
        clock=RunClock(Plan(0, 1, 3, batches=2, features=1.0)),
        meter=StepMeter(),
        trace=None,
        tables=tables,
        extracted=extracted,
    )


@pytest.fixture(scope="package")
def state():
    """A state amid training, with running statistics of each domain's own."""
    state = new_state(make_optimizer("adam", lambda _: 0.1, weight_decay=0.0))
    doubled = jax.tree.map(lambda leaf: 2 * leaf, state.statistics.source)
    return state.replace(statistics=ByDomain(state.statistics.source, doubled))

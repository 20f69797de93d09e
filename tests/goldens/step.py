"""What one adaptation step of the tiny network gave when it was last looked at: python -m tests.goldens.step.

The oracles say that each formula is right; this says that nothing has changed by accident in how they are put
together. Run it after a change that is meant to change the training, and commit the new figures with that change.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from man_jax.engine.optimizer import make_optimizer
from man_jax.engine.step import make_step
from man_jax.frame import ByDomain
from man_jax.methods import man
from man_jax.sharding import make_mesh, put_batch, put_replicated
from tests.engine.tiny import (
    NUM_SOURCE,
    NUM_TARGET,
    NUM_TRIPLES,
    B,
    in_double,
    new_batch,
    new_frame,
    new_state,
)

FILE = Path(__file__).parent / "step.json"


def golden_step() -> dict[str, dict[str, float]]:
    """Loss terms and checksums of every part of the state after one step, in double precision."""
    with jax.enable_x64(True):
        mesh = make_mesh(jax.devices()[:1])
        optimizer = make_optimizer("adam", lambda _: 1e-3, weight_decay=1e-4)
        step = make_step(man, new_frame(**{"augment.pad": 2}), optimizer, mesh)
        source = new_batch(11, NUM_SOURCE)
        target = new_batch(12, NUM_TARGET, reliable=np.arange(B) % 3 > 0)
        state = new_state(optimizer)
        # Other prototypes for PDA and MMA than for the rest, and the labels of an epoch before.
        others = ByDomain(
            *(bank._replace(modal=-bank.modal, fused=-bank.fused) for bank in state.slots.banks)
        )
        slots = state.slots._replace(aligned=others, last=jnp.arange(NUM_TRIPLES) % NUM_TARGET)
        state = put_replicated(in_double(state.replace(slots=slots)), mesh)
        state, terms = step(state, put_batch(source, mesh), put_batch(target, mesh))
        parts = {
            "parameters": state.params,
            "running statistics": state.statistics,
            "optimiser": state.opt_state,
            "banks": (state.slots.banks, state.slots.aligned),
            "memory": state.slots.queue,
        }
        return {
            "terms": {name: float(value) for name, value in terms.items()},
            "checksums": {name: checksum(tree) for name, tree in parts.items()},
        }


def checksum(tree) -> float:
    """Every number of a tree, each with a weight of its own, so that no two of them can change places unseen."""
    numbers = np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])
    return float(numbers @ np.cos(np.arange(len(numbers))))


if __name__ == "__main__":
    FILE.write_text(json.dumps(golden_step(), indent=2) + "\n")
    print(f"{FILE} written")

"""What the state of an adaptation takes on each chip, whole and divided."""

import math

import jax
import pytest

from data_pipelines.reading.datasets import FACTS
from man_jax.config import ConfigError
from man_jax.costs.chips import GIB
from man_jax.engine.footprint import abstract_state, trace_step
from man_jax.engine.state_plan import plan_state, planned_sizes, state_lines
from man_jax.engine.step_plan import parse_topology, plan_step
from man_jax.sharding import make_mesh
from tests.engine.tiny import small_config

SIZES = {"source": (100, 10), "target": (4000, 300)}
FLOAT, CHIPS = 4, 8


@pytest.fixture(scope="module")
def config():
    return small_config(adapt__num_clusters=300, man__aligned="normed")


@pytest.fixture(scope="module")
def plan(config):
    return plan_state(config, parse_topology(f"h100:{CHIPS}"), SIZES)


def test_what_is_whole_has_its_size_and_what_is_divided_a_chip_s_share_with_padding(plan, config):
    frame, _ = abstract_state(config, SIZES, mesh=make_mesh())
    dim, entries = frame.model.dim, 4100
    found = {part.name: (part.whole, part.divided) for part in plan.parts}
    assert found["slots.queue"] == (
        FLOAT * (entries * 3 * dim + entries + 1),
        FLOAT * (513 * 3 * dim + entries + 1),
    )
    classes, padded = 10 + 300, (2 + 38)
    assert found["slots.banks"] == (
        FLOAT * classes * 6 * dim + classes,
        FLOAT * padded * 6 * dim + classes,
    )
    heads = 3 * FLOAT * classes * 6 * dim  # Adam has two moments of each
    assert found["heads and their moments"] == (heads, heads / CHIPS)
    assert found["network and optimiser"][0] == found["network and optimiser"][1]


def test_the_parts_are_the_whole_state(plan, config):
    _, state = abstract_state(config, SIZES, mesh=make_mesh())
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert sum(part.whole for part in plan.parts) == size
    assert plan.features == 4100 * 9 * FLOAT * abstract_state(config, SIZES, mesh=make_mesh())[0].model.dim


@pytest.mark.parametrize("memories", ["replicated", "sharded"])
def test_a_traced_step_holds_the_same_state(plan, config, memories):
    config = config.copy_and_resolve_references()
    config.man.memories = memories
    step = plan_step(config, parse_topology(f"h100:{CHIPS}"), SIZES)
    state = sum(part.whole if memories == "replicated" else part.divided for part in plan.parts)
    batches = sum(
        leaf.size * leaf.dtype.itemsize
        for batch in trace_step(config, SIZES, mesh=make_mesh()).arguments[1:]
        for leaf in jax.tree.leaves(batch)
    )
    assert step.held == pytest.approx(state + batches / CHIPS)


def test_the_table_has_a_row_for_each_part_and_their_sum(plan):
    lines = state_lines(plan)
    assert lines[0] == "| h100:8: on each chip, GiB | whole | divided |"
    whole, divided = (sum(getattr(part, way) for part in plan.parts) / GIB for way in ("whole", "divided"))
    assert f"| in all | {whole:.3g} | {divided:.3g} |" in lines
    assert len(lines) == 3 + len(plan.parts) + 2
    assert "80 GiB" in lines[-1]


def test_a_method_that_divides_nothing_has_one_column_of_figures():
    plan = plan_state(small_config(method="mmt"), parse_topology("h100:8"), SIZES)
    assert {part.divided for part in plan.parts} == {None}
    assert all(line.endswith("| – |") for line in state_lines(plan)[2:-2])


def test_a_target_of_other_sizes_keeps_the_published_source(config):
    assert planned_sizes(config, 0) is None
    sizes = planned_sizes(config, 5000)
    assert sizes == {"source": FACTS["rgbnt100"].published["train"], "target": (5000, 300)}


def test_fewer_triples_than_clusters_are_refused(config):
    with pytest.raises(ConfigError, match=r"--triples 299: there are 300 clusters .*; give more triples"):
        planned_sizes(config, 299)

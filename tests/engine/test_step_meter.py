"""How fast the steps of a run are, told beside its progress."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from man_jax.costs.chips import CHIPS, KINDS, chip_of
from man_jax.engine.step_meter import StepMeter, meter_of


def batch(size: int) -> SimpleNamespace:
    return SimpleNamespace(index=np.arange(size))


def test_both_domains_triples_count_and_an_absent_one_does_not():
    meter = StepMeter()
    meter.count("adapt", None, None, (batch(6), batch(10)))
    meter.count("pretrain", None, None, (batch(6), None))
    assert meter.figures("adapt", 2.0) == {"triples_per_second": 8.0}
    assert meter.figures("pretrain", 0.5) == {"triples_per_second": 12.0}


def test_nothing_is_told_before_a_step_is_counted_and_measured():
    meter = StepMeter()
    assert meter.figures("adapt", 1.0) == {}
    meter.count("adapt", None, None, (batch(6), None))
    assert meter.figures("adapt", None) == {}


def test_the_share_of_the_peak_is_the_arithmetic_over_time_and_peak():
    square = jax.jit(lambda state: state @ state)
    meter = StepMeter(peak=4000.0)
    source = SimpleNamespace(index=np.arange(4))
    meter.count(
        "adapt",
        SimpleNamespace(trace=lambda state, *_: square.trace(state)),
        jnp.ones((10, 10)),
        (source, None),
    )
    assert meter.figures("adapt", 0.5)["share_of_peak"] == pytest.approx(2 * 10**3 / 0.5 / 4000)


def test_a_step_is_traced_once_for_its_count_and_its_call():
    traced = []

    @jax.jit
    def step(state, source, target):
        del target
        traced.append(1)
        return state + source["index"].sum()

    class Indexed(dict):
        index = np.arange(4)

    jax.tree_util.register_pytree_node(
        Indexed, lambda x: ((x["index"],), None), lambda _, kept: Indexed(index=kept[0])
    )
    source, meter = Indexed(index=jnp.arange(4)), StepMeter(peak=1.0)
    meter.count("adapt", step, jnp.float32(0), (source, None))
    step(jnp.float32(0), source, None)
    assert len(traced) == 1


def test_the_peak_is_that_of_all_devices_and_a_cpu_has_none():
    one = SimpleNamespace(device_kind="NVIDIA H200")
    assert meter_of([one, one]).peak == 2 * CHIPS["h200"].flops
    assert meter_of(jax.devices()).peak is None


def test_every_name_of_a_device_leads_to_a_chip():
    assert all(chip_of(kind) is CHIPS[name] for kind, name in KINDS.items())
    assert chip_of("a chip of next year") is None

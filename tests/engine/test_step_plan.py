"""A step that is planned for chips that are not there."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental import topologies

from man_jax.config import Config, ConfigError, check_config
from man_jax.costs.chips import CHIPS
from man_jax.costs.programs import Collective, ProgramCosts, parse
from man_jax.engine import step_plan
from man_jax.engine.build import build_model
from man_jax.engine.footprint import trace_step
from man_jax.engine.step_plan import (
    StepPlan,
    for_chips,
    largest_batch,
    links_seconds,
    parse_topology,
    plan_lines,
    plan_step,
)
from man_jax.sharding import make_mesh
from tests.engine.tiny import small_config

ROOT = Path(__file__).parents[2]
SIZES = {"source": (100, 10), "target": (120, 12)}
M, B = 2, 8


def small(**changes) -> Config:
    return small_config(model__modalities=("R", "N"), **changes)


@pytest.mark.parametrize(
    ("name", "number", "is_tpu"), [("v5e:2x4", 8, True), ("V4:2x2x2", 8, True), ("h100:3", 3, False)]
)
def test_a_topology_is_a_chip_and_how_many_there_are(name, number, is_tpu):
    found = parse_topology(name)
    assert (found.num_chips, found.is_tpu, found.chip) == (number, is_tpu, CHIPS[name.lower().split(":")[0]])


@pytest.mark.parametrize("name", ["v9:2x2", "v5e", "v5e:", "v5e:2x", "v5e:0x4", "h100:-1"])
def test_what_is_no_topology_is_refused_with_what_there_is(name):
    with pytest.raises(ConfigError, match=rf"--topology {re.escape(name)}: .*v5e:2x4 or h100:8; .*v6e"):
        parse_topology(name)


def test_chips_of_a_gpu_share_the_arithmetic_and_hold_the_state_whole():
    one, four = (plan_step(small(), parse_topology(f"h100:{number}"), SIZES) for number in (1, 4))
    assert one.flops == pytest.approx(4 * four.flops)
    height, width = small().data.image_size
    images = 2 * B * M * height * width * 3
    assert one.held - four.held == pytest.approx(images * 3 / 4, rel=0.02)
    assert (one.scratch, one.costs, one.fits) == (None, None, None)
    assert one.step_seconds == pytest.approx(one.flops / 989e12)


def test_twice_the_batch_is_twice_the_arithmetic_of_the_network():
    flops = [
        plan_step(small(batch__identities=number), parse_topology("a100:1"), SIZES).flops for number in (4, 8)
    ]
    assert flops[1] == pytest.approx(2 * flops[0], rel=0.1)


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(
        ConfigError, match=r"h100:3: a batch of 8 triples cannot be divided among 3 chips; set"
    ):
        plan_step(small(), parse_topology("h100:3"), SIZES)


def test_the_batch_of_an_evaluation_limits_no_plan(monkeypatch):
    heard = []
    monkeypatch.setattr(step_plan, "tpu_devices", lambda _: jax.devices()[:8])
    monkeypatch.setattr(
        step_plan, "trace_step", lambda config, *_, mesh: heard.append((config, mesh.size)) or 1 / 0
    )
    config = small(evaluation__batch_size=12)
    with pytest.raises(ZeroDivisionError):
        plan_step(config, parse_topology("v5e:2x4"), SIZES)
    [(planned_for, number)] = heard
    check_config(planned_for, num_devices=number)
    assert config.evaluation.batch_size == 12


def test_auto_means_the_forms_of_the_chips_and_not_those_of_this_cpu():
    config = small(model__application="auto", model__convolution="auto")
    found = for_chips(config).model
    built = build_model(found, num_classes=2)
    assert (built.application, found.convolution) == ("loop", "lax")
    assert (config.model.application, config.model.convolution) == ("auto", "auto")
    told = for_chips(small(model__application="scan", model__convolution="taps")).model
    assert (told.application, told.convolution) == ("scan", "taps")


def test_with_the_compiler_of_a_gpu_its_step_is_compiled_and_without_it_is_traced(monkeypatch):
    compiled = []
    monkeypatch.setattr(step_plan, "compile_step", lambda *words: compiled.append(words) or 1 / 0)
    for is_here, number in ((False, 0), (True, 1)):
        monkeypatch.setattr(step_plan, "gpu_compiler_is_here", lambda is_here=is_here: is_here)
        with suppress(ZeroDivisionError):
            plan_step(small(), parse_topology("h100:1"), SIZES)
        assert len(compiled) == number


# --- the program of a GPU, as far as it can be read without the compiler of one


@pytest.fixture(scope="module")
def lowered() -> str:
    """The step for eight GPUs, lowered on a machine without one: what the compiler of a GPU gets."""
    step = trace_step(for_chips(tpu_config()), SIZES, mesh=make_mesh(jax.devices()[:8]))
    return step.traced.lower(lowering_platforms=("cuda",)).as_text()


def test_the_step_of_a_gpu_has_nothing_that_a_gpu_does_badly(lowered):
    assert "f64" not in lowered
    targets = set(re.findall(r"custom_call @([\w.$]+)", lowered))
    assert not [name for name in targets if "callback" in name or "cpu" in name]
    assert not re.findall(r"stablehlo\.(?:infeed|outfeed|send|recv)", lowered)
    groups = [int(number) for number in re.findall(r"(?:feature|batch)_group_count = (\d+)", lowered)]
    assert groups
    assert set(groups) == {1}


def test_the_step_of_a_gpu_convolves_in_bfloat16_where_that_is_asked_for(lowered):
    lines = [line for line in lowered.splitlines() if "stablehlo.convolution" in line]
    assert len(lines) > 5
    assert {line.rpartition("x")[2].rstrip("> loc()#") for line in lines} == {"bf16"}


def test_without_the_compiler_of_a_tpu_the_remedy_is_told(monkeypatch):
    def refuse(**_):
        raise RuntimeError("no libtpu here\nand more")

    monkeypatch.setattr(topologies, "get_topology_desc", refuse)
    with pytest.raises(
        ConfigError, match=r"v5e:2x2: no libtpu here; it needs libtpu \(pip install 'man_jax\["
    ):
        plan_step(small(), parse_topology("v5e:2x2"), SIZES)


def planned(batch: int, scratch: float, **costs) -> StepPlan:
    return StepPlan(parse_topology("v5e:2x4"), batch, 2, 197e9, 2**30, scratch, ProgramCosts(**costs))


KINDS = {"all-reduce": Collective(3, 1e6), "all-gather": Collective(2, 4e6)}


def test_a_step_takes_the_longer_of_arithmetic_and_memory_and_then_the_links():
    chip = CHIPS["v5e"]
    found = planned(32, 0.0, bytes=819e7, collectives=KINDS, unknown_loops=0)
    links = (2 * 1e6 + 4e6) * 7 / 8 / chip.links
    assert found.seconds == pytest.approx({"arithmetic": 1e-3, "memory": 1e-2, "links": links})
    assert found.step_seconds == pytest.approx(1e-2 + links)
    assert links_seconds({}, found.topology) == 0


def test_it_fits_up_to_the_memory_of_a_chip_and_the_largest_batch_is_on_the_line():
    nothing = {"bytes": 0.0, "collectives": {}, "unknown_loops": 0}
    small_one, large = planned(32, 2 * 2**30, **nothing), planned(64, 4 * 2**30, **nothing)
    assert small_one.fits
    assert not planned(32, 15.1 * 2**30, **nothing).fits
    assert largest_batch(small_one, large) == 32 + 32 * 13 // 2
    assert largest_batch(large, planned(96, 4 * 2**30, **nothing)) is None


def test_the_table_has_a_row_for_each_plan_and_says_what_is_not_known():
    gpu = plan_step(small(), parse_topology("h100:2"), SIZES)
    tpu = planned(32, 2**30, bytes=5e9, collectives=KINDS, unknown_loops=0)
    lines = plan_lines([gpu, tpu, planned(64, 2**31, bytes=5e9, collectives=KINDS, unknown_loops=0)])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:5]]
    assert [row[:2] for row in rows] == [["h100:2", "8"], ["v5e:2x4", "32"], ["v5e:2x4", "64"]]
    assert rows[0][3:5] == ["–", "–"]
    assert rows[1][2:8] == ["1", "1", "yes", "197", "5", "3 all-reduce 1 MB, 2 all-gather 4 MB"]
    assert lines[-1] == "v5e:2x4: about 480 triples of each domain fit."


# --- a program for four chips, which the compiler of a TPU makes on a machine without one


COMPILE = """
import sys
import jax
from man_jax.engine.step_plan import compile_step, parse_topology, tpu_devices
from tests.engine.test_step_plan import SIZES, tpu_config

step, compiled = compile_step(tpu_config(), parse_topology("v5e:2x2"), SIZES)
(state, *_), _ = step.traced.in_avals
open(sys.argv[1], "w").write(compiled.as_text())
devices = [len(tpu_devices(parse_topology(name))) for name in ("v4:2x2x2", "v5p:2x2x2", "v6e:2x4")]
print(len(jax.tree.leaves(state.params)), *devices)
"""


def tpu_config() -> Config:
    return small(model__dtype="bfloat16", model__convolution="lax", model__application="scan")


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> tuple[str, Config, list[int]]:
    """The text of the step, its configuration, and how many arrays learn; then the devices of other topologies.

    It is compiled in a process of its own, as the command does it: the compiler ends a process whose XLA_FLAGS it does
    not know, and where it can be imported every command looks for TPUs.
    """
    compiler = Path(sys.prefix) / "tpu-plan"
    if not (compiler / "libtpu").is_dir():
        pytest.skip(f"{compiler} has no libtpu; make test puts it there")
    path = tmp_path_factory.mktemp("tpu") / "program.txt"
    alone = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    here = {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false", "PYTHONPATH": str(compiler)}
    result = subprocess.run(
        [sys.executable, "-c", COMPILE, str(path)],
        cwd=ROOT,
        env=alone | here,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return path.read_text(), tpu_config(), [int(word) for word in result.stdout.splitlines()[-1].split()]


def test_a_tpu_s_program_has_nothing_that_a_tpu_does_badly(program):
    text, *_ = program
    assert "f64[" not in text
    assert not re.findall(r" (?:infeed|outfeed|send|recv)\(|callback", text)
    groups = [int(number) for number in re.findall(r"(?:feature|batch)_group_count=(\d+)", text)]
    assert not [number for number in groups if number > 1]


def test_a_tpu_s_program_convolves_in_bfloat16_where_that_is_asked_for(program):
    text, *_ = program
    # Matrix products are convolutions of this compiler too; the distances stay in float32.
    lines = [line for line in text.splitlines() if " convolution(" in line and "conv_general_dilated" in line]
    assert len(lines) > 10
    assert {line.partition(" = ")[2].partition("[")[0] for line in lines} == {"bf16"}


def test_a_tpu_s_program_gathers_features_and_no_maps(program):
    text, config, _ = program
    gathered = re.findall(r"= \(?\w+\[([\d,]+)\][^=]* all-gather\(", text)
    height, width = config.data.image_size
    smallest_map = B * M * config.model.width * (height // 4) * (width // 4)
    assert gathered
    assert max(np.prod([int(size) for size in sizes.split(",")]) for sizes in gathered) < smallest_map


def test_a_tpu_s_program_reduces_many_gradients_at_once(program):
    text, _, (num_arrays, *_) = program
    computations, entry = parse(text)
    # Those of normalisation are in the loops over the modalities. The others are of gradients, labels and distances.
    outside = [each for each in computations[entry].values() if each.opcode == "all-reduce"]
    assert 0 < len(outside) < num_arrays


def test_a_chip_is_one_device_though_it_may_have_two_cores(program):
    assert program[2][1:] == [8, 8, 8]

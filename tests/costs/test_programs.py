"""What a compiled program moves, of programs whose traffic is known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from man_jax.costs.programs import Collective, bytes_of, parse, program_costs
from man_jax.sharding import make_mesh


def compiled(function, *arguments) -> str:
    return jax.jit(function).lower(*arguments).compile().as_text()


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("f32[2,3]{1,0}", 24),
        ("bf16[4]{0:T(128)(2,1)S(1)}", 8),
        ("pred[]", 1),
        ("(s32[], f8e4m3fn[10]{0}, u8[3,5]{1,0})", 29),
        ("token[]", 0),
        ("f32[0,7]{1,0}", 0),
    ],
)
def test_the_bytes_of_a_type_are_those_of_its_arrays(shape, size):
    assert bytes_of(shape) == size


def test_a_fused_loop_reads_its_operands_and_writes_its_result():
    x = jnp.zeros(1000)
    assert program_costs(compiled(lambda x, y: jnp.sin(x) * y + 2, x, x)).bytes == 3 * 4000


def test_a_loop_counts_as_often_as_it_goes_round():
    def rounds(number, x):
        return jax.lax.fori_loop(0, number, lambda _, y: jnp.sin(y) + 1, x)

    costs = {number: program_costs(compiled(partial(rounds, number), jnp.zeros(1000))) for number in (3, 7)}
    once = (costs[7].bytes - costs[3].bytes) / 4
    # A round also counts itself, in four bytes that it reads and writes.
    assert 8000 <= once <= 8000 + 32
    assert costs[7].unknown_loops == 0


def test_a_loop_without_a_known_end_is_told():
    found = program_costs(
        compiled(lambda x: jax.lax.while_loop(lambda y: y.sum() < 9, lambda y: y + 1, x), jnp.ones(10))
    )
    assert found.unknown_loops == 1


def test_a_slice_counts_as_much_as_it_takes():
    def rows(x):
        return jax.lax.map(lambda i: jnp.sin(x[i]).sum(), jnp.arange(50))

    found = program_costs(compiled(rows, jnp.zeros((50, 10_000))))
    whole = 50 * 10_000 * 4
    # A row is read at least once, and at most written elsewhere and read again; never the whole table for each row.
    assert whole <= found.bytes <= 3.1 * whole


def test_collectives_count_with_the_rounds_of_their_loop():
    mesh = make_mesh(jax.devices()[:8])
    rows = NamedSharding(mesh, PartitionSpec("data"))

    def sums(x):
        def one(total, row):
            return total + jax.lax.with_sharding_constraint(row * total.sum(), rows).sum(0), None

        return jax.lax.scan(one, jnp.zeros(32), x)[0]

    x = jax.ShapeDtypeStruct(
        (5, 8, 32), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(None, "data"))
    )
    assert program_costs(compiled(sums, x)).collectives == {"all-reduce": Collective(5, 5 * 32 * 4)}
    whole = jax.jit(lambda x: x + 1, out_shardings=NamedSharding(mesh, PartitionSpec()))
    y = jax.ShapeDtypeStruct((16, 3), jnp.float32, sharding=rows)
    assert program_costs(whole.lower(y).compile().as_text()).collectives == {
        "all-gather": Collective(1, 16 * 3 * 4)
    }


TEXT = """HloModule jit_step, is_scheduled=true

%body (state: (s32[], f32[4,100])) -> (s32[], f32[4,100]) {
  %state = (s32[]{:T(128)}, f32[4,100]{1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  %kept = f32[4,100]{1,0:T(8,128)} get-tuple-element(%state), index=1
  %near = f32[4,100]{1,0:T(8,128)S(1)} copy(%kept)
  %sum = f32[4,100]{1,0:T(8,128)} all-reduce(%near), channel_id=3, to_apply=%add
  ROOT %next = (s32[]{:T(128)}, f32[4,100]{1,0:T(8,128)}) tuple(%i, %sum)
}

%end (state: (s32[], f32[4,100])) -> pred[] {
  %state = (s32[]{:T(128)}, f32[4,100]{1,0:T(8,128)}) parameter(0)
  %limit = s32[]{:T(128)} constant(6)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  ROOT %less = pred[]{:T(512)} compare(%i, %limit), direction=LT
}

%spread (part: f32[2,100]) -> f32[4,100] {
  %part = f32[2,100]{1,0} parameter(0)
  ROOT %all = f32[4,100]{1,0} all-gather(%part), channel_id=9, dimensions={0}
}

%written (old: f32[50,100], new: f32[1,100], at: s32[]) -> f32[50,100] {
  %old = f32[50,100]{1,0} parameter(0)
  %new = f32[1,100]{1,0} parameter(1)
  %at = s32[] parameter(2)
  ROOT %row = f32[50,100]{1,0} dynamic-update-slice(%old, %new, %at, %at)
}

ENTRY %main (x: f32[4,100], part: f32[2,100], table: f32[50,100], row: f32[1,100]) -> f32[4,100] {
  %x = f32[4,100]{1,0:T(8,128)} parameter(0)
  %part = f32[2,100]{1,0} parameter(1)
  %table = f32[50,100]{1,0} parameter(2)
  %row = f32[1,100]{1,0} parameter(3)
  %zero = s32[] constant(0)
  %begin = (s32[]{:T(128)}, f32[4,100]{1,0:T(8,128)}) tuple(%zero, %x)
  %loop = (s32[]{:T(128)}, f32[4,100]{1,0:T(8,128)}) while(%begin), condition=%end, body=%body
  %first = f32[4,100]{1,0} fusion(%part), kind=kCustom, calls=%spread
  %second = f32[4,100]{1,0} fusion(%part), kind=kCustom, calls=%spread
  %kept = f32[50,100]{1,0} fusion(%table, %row, %zero), kind=kLoop, calls=%written
  ROOT %out = f32[4,100]{1,0:T(8,128)} get-tuple-element(%loop), index=1
}
"""


def test_the_text_of_a_tpu_is_read_with_its_loops_and_its_two_memories():
    found = program_costs(TEXT)
    # A round reads 1,600 bytes to copy them into the chip, and writes the sum, whose operand is in the chip.
    loop = 6 * (1600 + 1600)
    gathers = 2 * (800 + 1600)
    row = 400 + 400 + 4  # what is written of the table in its place, the new row, and where
    assert found.bytes == loop + gathers + row
    assert found.collectives == {
        "all-reduce": Collective(6, 6 * 1600),
        "all-gather": Collective(1, 1600),  # both have one channel, so they are parts of one
    }
    assert found.unknown_loops == 0


def test_a_text_has_its_computations_and_the_one_it_begins_with():
    computations, entry = parse(TEXT)
    assert entry == "main"
    assert [*computations] == ["body", "end", "spread", "written", "main"]
    assert computations["end"]["less"].operands == ("i", "limit")
    assert computations["main"]["loop"].opcode == "while"


def test_an_asynchronous_collective_counts_once():
    text = """
ENTRY %main (x: f32[10]) -> f32[40] {
  %x = f32[10]{0} parameter(0)
  %begun = (f32[10]{0}, f32[40]{0}) all-gather-start(%x), channel_id=1, dimensions={0}
  ROOT %done = f32[40]{0} all-gather-done(%begun)
}
"""
    assert program_costs(text).collectives == {"all-gather": Collective(1, 160)}


def test_a_choice_counts_all_its_branches():
    x = np.ones(1000, np.float32)
    choose = compiled(
        lambda flag, x: jax.lax.cond(flag, lambda y: jnp.sin(y), lambda y: jnp.cos(y) * 2, x), True, x
    )
    assert program_costs(choose).bytes >= 8000

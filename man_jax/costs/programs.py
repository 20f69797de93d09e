"""Read the text of a compiled program (XLA's HLO): what it moves to and from memory, and between devices, in a step.

The compiler's own analysis counts the body of a loop once. Here it counts as often as the loop goes round.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "partition-id",
    "replica-id",
    "while",
    "call",
    "conditional",
    "opt-barrier",
    "copy-done",
    "async-done",
    "async-update",
    *(f"{kind}-done" for kind in COLLECTIVES),
}
"""Instructions that move nothing themselves."""
SLICES = {"dynamic-slice", "slice", "gather"}
"""Instructions that read only as much of their first operand as they give."""
_BITS = re.compile(r"([a-z]+)(\d+)")
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\](\{[^}]*\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_BRANCHES = r"(?:true_computation|false_computation|branch_computations)=(\{[^}]*\}|%[\w.\-]+)"
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    type: str
    opcode: str
    operands: tuple[str, ...]
    rest: str
    """All that follows the operands; of a constant or a parameter also what is in its parentheses."""


Computation = dict[str, Instruction]
"""Its instructions by name, in their order; the last one is the result."""


class Collective(NamedTuple):
    """All collectives of one kind in a step, of one device."""

    number: int
    bytes: float
    """Of the whole arrays that are reduced, gathered or exchanged."""


class ProgramCosts(NamedTuple):
    """What a program moves in a step, on one device."""

    bytes: float
    """To and from the device's memory: the operands and the result of each fused loop, once for each round."""
    collectives: dict[str, Collective]
    unknown_loops: int
    """Loops whose rounds the text does not say; they count as one round."""


def program_costs(text: str) -> ProgramCosts:
    """Count what the program of a compiled function (`compiled.as_text()`) moves on each device."""
    computations, entry = parse(text)
    moved, unknown = [0.0], [0]
    seen: dict[tuple[str, str], tuple[float, float]] = {}

    def visit(name: str, times: float, *, fused: bool) -> None:
        computation = computations[name]
        for instruction in computation.values():
            if not fused and instruction.opcode not in FREE:
                moved[0] += times * _traffic(instruction, computation, computations)
            kind = instruction.opcode.removesuffix("-start")
            if kind in COLLECTIVES:
                # A collective that the compiler spreads over several computations has one channel in all of them.
                channel = re.search(r"channel_id=(\d+)", instruction.rest)
                seen[kind, channel[1] if channel else instruction.name] = (
                    times,
                    times * _exchanged(instruction, computation),
                )
            if instruction.opcode == "while":
                rounds = _rounds(instruction, computations)
                unknown[0] += rounds is None
                visit(_named(instruction, "body"), times * (rounds or 1), fused=fused)
            else:
                for called in _called(instruction):
                    visit(called, times, fused=fused or instruction.opcode not in ("call", "conditional"))

    visit(entry, 1.0, fused=False)
    kinds = {
        kind: Collective(
            round(sum(times for (each, _), (times, _) in seen.items() if each == kind)),
            math.fsum(size for (each, _), (_, size) in seen.items() if each == kind),
        )
        for kind in dict.fromkeys(kind for kind, _ in seen)
    }
    return ProgramCosts(moved[0], kinds, unknown[0])


def parse(text: str) -> tuple[dict[str, Computation], str]:
    """Parse a program into its computations by name, and the name of the one that it begins with."""
    computations: dict[str, Computation] = {}
    entry, inside = "", None
    for line in text.splitlines():
        header = re.match(r"(ENTRY )?%?([\w.\-]+) .*\{$", line) if not line.startswith(" ") else None
        if header and " = " not in line:
            inside = computations[header[2]] = {}
            entry = header[2] if header[1] else entry
        elif line.startswith("}"):
            inside = None
        elif inside is not None and " = " in line:
            instruction = _instruction(line)
            inside[instruction.name] = instruction
    return computations, entry


def bytes_of(shape: str, *, counts: Callable[[str], bool] = lambda _: True) -> float:
    """Add up the bytes of all arrays in a type, e.g. "(f32[2,3]{1,0}, s32[])"; `counts` tells which, by the layout."""
    total = 0.0
    for kind, sizes, layout in _ARRAY.findall(shape):
        bits = 8 if kind == "pred" else int(found[2]) if (found := _BITS.match(kind)) else 0
        if counts(layout):
            total += bits / 8 * math.prod(int(size) for size in sizes.split(",") if size)
    return total


def _in_memory(layout: str) -> bool:
    """Tell whether an array lies in the device's memory, and not in the chip itself."""
    return "S(1)" not in layout


def _instruction(line: str) -> Instruction:
    name, _, rest = line.strip().removeprefix("ROOT ").partition(" = ")
    end = _closing(rest, 0) + 1 if rest.startswith("(") else rest.index(" ")
    shape, rest = rest[:end], rest[end:].lstrip()
    start = rest.index("(")
    end = _closing(rest, start)
    opcode, inside = rest[:start], rest[start + 1 : end]
    plain = opcode in ("constant", "parameter")
    operands = () if plain else tuple(_NAME.findall(inside))
    return Instruction(
        name.removeprefix("%"), shape, opcode, operands, (inside if plain else "") + rest[end + 1 :]
    )


def _closing(text: str, start: int) -> int:
    """Find the parenthesis that closes the one at `start`."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return place
    raise ValueError(f"a parenthesis is not closed: {text[:80]}")


def _traffic(
    instruction: Instruction, computation: Computation, computations: Mapping[str, Computation]
) -> float:
    """Count the bytes that an instruction reads from and writes to memory."""

    def size(name: str) -> float:
        return bytes_of(computation[name].type, counts=_in_memory) if name in computation else 0.0

    written = bytes_of(instruction.type, counts=_in_memory)
    if instruction.opcode in SLICES:
        return 2 * written
    if instruction.opcode == "dynamic-update-slice":
        return 2 * size(instruction.operands[1])
    if instruction.opcode != "fusion":
        return written + sum(map(size, instruction.operands))
    inner = computations[_named(instruction, "calls")]
    parameters = {int(each.rest.split(",")[0]): each for each in inner.values() if each.opcode == "parameter"}
    result = [*inner.values()][-1]
    in_place = result.operands[0] if result.opcode == "dynamic-update-slice" else ""
    total = bytes_of(inner[result.operands[1]].type) if in_place else written
    for place, operand in enumerate(instruction.operands):
        name = parameters[place].name
        users = [each for each in inner.values() if name in each.operands]
        if name == in_place:
            continue
        if users and all(each.opcode in SLICES and each.operands[0] == name for each in users):
            total += min(size(operand), sum(bytes_of(each.type) for each in users))
        else:
            total += size(operand)
    return total


def _exchanged(instruction: Instruction, computation: Computation) -> float:
    given = sum(bytes_of(computation[name].type) for name in instruction.operands if name in computation)
    found = bytes_of(instruction.type)
    if instruction.opcode.endswith("-start") and instruction.opcode != "all-reduce-start":
        found -= given  # the type of a start has the operands too
    return max(given, found)


def _rounds(instruction: Instruction, computations: Mapping[str, Computation]) -> int | None:
    """Find how often a loop goes round: the compiler says it, or the loop counts from 0 to a constant."""
    if told := _TRIPS.search(instruction.rest):
        return int(told[1])
    condition = computations[_named(instruction, "condition")]
    compared = [
        each for each in condition.values() if each.opcode == "compare" and "direction=LT" in each.rest
    ]
    limits = [
        each.rest.split(",")[0]
        for each in condition.values()
        if each.opcode == "constant" and each.type.startswith("s32[]")
    ]
    return int(limits[0]) if len(compared) == len(limits) == 1 else None


def _called(instruction: Instruction) -> Iterator[str]:
    """Name the computations that an instruction runs; those that a reduction applies to each element are left out."""
    if instruction.opcode in ("fusion", "call", "async-start", "custom-call"):
        for key in ("calls", "to_apply", "called_computations"):
            if found := re.search(rf"\b{key}=\{{?%([\w.\-]+)", instruction.rest):
                yield found[1]
    if instruction.opcode == "conditional":
        for found in re.findall(_BRANCHES, instruction.rest):
            yield from _NAME.findall(found)


def _named(instruction: Instruction, key: str) -> str:
    found = re.search(rf"\b{key}=%?([\w.\-]+)", instruction.rest)
    if not found:
        raise ValueError(f"{instruction.name} names no {key}")
    return found[1]

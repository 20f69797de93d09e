"""Keep plans as lines of JSON, so that tables and pictures are made of data and not typed."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from data_pipelines.session import disk
from man_jax.config import Config, ConfigError
from man_jax.costs.programs import Collective, ProgramCosts
from man_jax.engine.step_plan import StepPlan, parse_topology
from man_jax.reporting.scaling import Point
from man_jax.runs.versions import commit, versions


class KeptPlan(NamedTuple):
    """A plan of a file, and what it is of."""

    about: str
    """The experiment, and the keys that change its program: "rgbnt100_to_wmveid863, bfloat16"."""
    plan: StepPlan


def describe_program(config: Config) -> str:
    """Name the experiment and the keys that plans are compared by: only those of one program belong on one line."""
    groups = "" if config.model.norm_groups == 1 else f", norm_groups={config.model.norm_groups}"
    return f"{config.experiment}, {config.method}, {config.model.dtype}{groups}"


def append_plan(path: Path, config: Config, plan: StepPlan) -> None:
    """Append a plan to a file; DiskError if the disk refuses."""
    costs = None
    if plan.costs is not None:
        collectives = {kind: list(found) for kind, found in plan.costs.collectives.items()}
        costs = {
            "bytes": plan.costs.bytes,
            "collectives": collectives,
            "unknown_loops": plan.costs.unknown_loops,
        }
    row = {
        "about": describe_program(config),
        "topology": plan.topology.name,
        "batch": plan.batch,
        "domains": plan.domains,
        "flops": plan.flops,
        "held": plan.held,
        "scratch": plan.scratch,
        "costs": costs,
        "versions": versions(),
        "commit": commit(),
        "day": datetime.now(UTC).date().isoformat(),
    }
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = disk.WholeAppends(path)
        file.append((json.dumps(row) + "\n").encode())
        file.close()


def read_plans(path: Path) -> list[KeptPlan]:
    """Read the plans of a file; of equal questions the last compiled and the last traced answer count.

    Raises ConfigError if a line is no plan.
    """
    if not path.is_file():
        raise ConfigError(f"--results {path} does not exist; plan something with --config, which makes it")
    found: dict[tuple[str, str, int, bool], KeptPlan] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            kept = _plan_of(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"--results {path}, line {number} is no plan ({error!r}); remove the line"
            ) from None
        plan = kept.plan
        found[kept.about, plan.topology.name, plan.batch, plan.costs is None] = kept
    return [*found.values()]


def _plan_of(row: dict[str, Any]) -> KeptPlan:
    costs = row["costs"]
    if costs is not None:
        collectives = {kind: Collective(*each) for kind, each in costs["collectives"].items()}
        costs = ProgramCosts(costs["bytes"], collectives, costs["unknown_loops"])
    plan = StepPlan(
        topology=parse_topology(row["topology"]),
        batch=row["batch"],
        domains=row["domains"],
        flops=row["flops"],
        held=row["held"],
        scratch=row["scratch"],
        costs=costs,
    )
    return KeptPlan(row["about"], plan)


class Scaling(NamedTuple):
    """Lines of plans by the name of a chip and a number of triples, each in the order of its chips."""

    weak: dict[str, list[StepPlan]]
    """The same triples a chip; also plans that are on no line, each alone."""
    strong: dict[str, list[StepPlan]]
    """The same triples in all."""


def scaling_of(plans: Sequence[StepPlan]) -> Scaling:
    """Put plans on lines of weak and of strong scaling."""
    weak, strong = (_lines(plans, a_chip=each) for each in (True, False))
    on_a_line = [
        plan for lines in (weak, strong) for found in lines.values() if _is_line(found) for plan in found
    ]
    return Scaling(
        {name: found for name, found in weak.items() if _is_line(found) or found[0] not in on_a_line},
        {name: found for name, found in strong.items() if _is_line(found)},
    )


def _lines(plans: Sequence[StepPlan], *, a_chip: bool) -> dict[str, list[StepPlan]]:
    groups: dict[tuple[str, int], list[StepPlan]] = {}
    for plan in sorted(plans, key=lambda each: each.topology.num_chips):
        triples = plan.batch // plan.topology.num_chips if a_chip else plan.batch
        kind = plan.topology.name.partition(":")[0] + ("" if plan.costs else ", traced")
        groups.setdefault((kind, triples), []).append(plan)
    return {f"{kind}, {triples:,}": found for (kind, triples), found in sorted(groups.items())}


def _is_line(plans: Sequence[StepPlan]) -> bool:
    return len({plan.topology.num_chips for plan in plans}) > 1


def points(series: Mapping[str, Sequence[StepPlan]]) -> dict[str, list[Point]]:
    """Give the points of a picture for each line of plans; chips with the same points share a line."""
    by_points: dict[tuple[Point, ...], list[str]] = {}
    for name, plans in series.items():
        found = tuple(
            Point(
                plan.topology.num_chips,
                1000 * plan.step_seconds,
                plan.domains * plan.batch / plan.step_seconds,
                plan.costs is not None,
            )
            for plan in plans
        )
        by_points.setdefault(found, []).append(name)
    return {
        " and ".join(name.partition(",")[0] for name in names) + "," + names[0].partition(",")[2]: [*found]
        for found, names in by_points.items()
    }

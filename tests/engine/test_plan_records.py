"""Plans kept as lines, and put on lines of weak and strong scaling."""

import pytest

from man_jax.config import ConfigError
from man_jax.costs.programs import Collective, ProgramCosts
from man_jax.engine.plan_records import append_plan, describe_program, points, read_plans, scaling_of
from man_jax.engine.step_plan import StepPlan, parse_topology
from tests.engine.tiny import small_config

COSTS = ProgramCosts(819e6, {"all-reduce": Collective(3, 1e6)}, 0)


def plan(topology: str, batch: int, *, costs: ProgramCosts | None = COSTS, flops: float = 1e9) -> StepPlan:
    return StepPlan(parse_topology(topology), batch, 2, flops, 2**30, None if costs is None else 5.0, costs)


def test_a_plan_comes_back_as_it_was_kept(tmp_path):
    plans = [plan("v5e:2x4", 32), plan("h100:8", 64, costs=None)]
    for each in plans:
        append_plan(tmp_path / "made/plans.jsonl", small_config(), each)
    kept = read_plans(tmp_path / "made/plans.jsonl")
    assert [each.plan for each in kept] == plans
    assert {each.about for each in kept} == {describe_program(small_config())}


def test_the_last_answer_counts_and_a_traced_one_replaces_no_compiled_one(tmp_path):
    for each in (plan("h100:8", 64, flops=1), plan("h100:8", 64, flops=2), plan("h100:8", 64, costs=None)):
        append_plan(tmp_path / "plans.jsonl", small_config(), each)
    found = [each.plan for each in read_plans(tmp_path / "plans.jsonl")]
    assert [(each.flops, each.costs is None) for each in found] == [(2, False), (1e9, True)]


@pytest.mark.parametrize("line", ["no json", "{}", "[]", '{"about": "x", "costs": null, "topology": "z:1"}'])
def test_a_line_that_is_no_plan_is_named(tmp_path, line):
    (tmp_path / "plans.jsonl").write_text(line)
    with pytest.raises(ConfigError, match=r"plans\.jsonl, line 1 is no plan .*; remove the line"):
        read_plans(tmp_path / "plans.jsonl")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere does not exist; plan something"):
        read_plans(tmp_path / "nowhere")


def test_plans_of_the_same_triples_a_chip_or_in_all_are_on_a_line():
    plans = [plan("v5e:2x4", 64), plan("v5e:2x4", 32), plan("v5e:4x4", 64), plan("v4:2x2x2", 32)]
    weak, strong = scaling_of(plans)
    assert {name: [each.topology.num_chips for each in found] for name, found in weak.items()} == {
        "v4, 4": [8],  # on no line, so it stands alone
        "v5e, 4": [8, 16],
    }
    assert {name: [each.topology.num_chips for each in found] for name, found in strong.items()} == {
        "v5e, 64": [8, 16]
    }


def test_traced_and_compiled_plans_are_not_on_one_line():
    weak, strong = scaling_of(
        [plan("h100:1", 8), plan("h100:8", 64, costs=None), plan("h100:64", 64, costs=None)]
    )
    assert [*weak] == ["h100, 8"]
    assert [*strong] == ["h100, traced, 64"]


def test_a_point_has_the_least_step_and_the_triples_of_both_domains_a_second():
    [[found]] = points({"v5e, 4": [plan("v5e:2x4", 32)]}).values()
    seconds = plan("v5e:2x4", 32).step_seconds
    assert found == (8, 1000 * seconds, 64 / seconds, True)


def test_chips_with_the_same_points_share_a_line():
    found = points(
        {f"{kind}, traced, 64": [plan(f"{kind}:8", 64, costs=None)] for kind in ("a100", "h100", "h200")}
    )
    assert [*found] == ["a100, traced, 64", "h100 and h200, traced, 64"]

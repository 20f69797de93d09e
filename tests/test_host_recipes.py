"""The recipes of docs/SCALING.md for several hosts: their syntax, and what JAX reads of what they set."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from jax._src.clusters import cloud_tpu_cluster, slurm_cluster

from man_jax.runs import multi_process

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/SCALING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### ([^\n]+)\n(.*?)(?=^##)", TEXT, flags=re.M | re.S))


def block(section: str, language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], flags=re.S)
    return found


@pytest.mark.parametrize("section", ["Slurm", "A TPU pod"])
def test_a_script_can_be_read_by_a_shell(section):
    result = subprocess.run(
        ["bash", "-n"], input=block(section, "bash"), capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_every_command_of_a_recipe_is_one_that_shares_its_work():
    commands = re.findall(r"(?:-m |-m, )(man_jax\.\w+)(.*)", "".join(SECTIONS.values()))
    assert len(commands) >= 5
    for module, rest in commands:
        source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        assert "define_distributed(" in source, module
        assert "--distributed" in rest, module


def test_in_a_slurm_step_each_process_has_the_gpu_of_its_own_number(monkeypatch):
    script = block("Slurm", "bash")
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script, flags=re.M))
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert "gpus-per-task" not in script
    for name in [each for each in os.environ if each.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    # What Slurm sets in the fourth task of the second node.
    total = int(asked["nodes"]) * int(asked["ntasks-per-node"])
    step = {
        "SLURM_JOB_ID": "4242",
        "SLURM_STEP_NODELIST": "node[1-2]",
        "SLURM_NTASKS": str(total),
        "SLURM_PROCID": "11",
        "SLURM_LOCALID": "3",
    }
    for name, value in step.items():
        assert f"`{name}`" in SECTIONS["Slurm"]
        monkeypatch.setenv(name, value)
    cluster = slurm_cluster.SlurmCluster
    assert cluster.is_env_present()
    assert re.fullmatch(r"node1:\d+", cluster.get_coordinator_address(300, None))
    assert (cluster.get_process_count(), cluster.get_process_id(), cluster.get_local_process_id()) == (
        16,
        11,
        3,
    )


def test_what_a_tpu_pod_is_asked_is_what_jax_asks():
    source = Path(cloud_tpu_cluster.__file__).read_text(encoding="utf-8")
    for name in ("agent-worker-number", "worker-network-endpoints", "TPU_SKIP_MDS_QUERY"):
        assert f"`{name}`" in SECTIONS["A TPU pod"]
        assert name in source
    commands = block("A TPU pod", "bash")
    assert "--worker=all" in commands
    assert "TPU_SKIP_MDS_QUERY" not in commands


def test_the_pods_of_a_job_find_process_0_by_the_name_of_the_service():
    service, job = yaml.safe_load_all(block("Kubernetes", "yaml"))
    name, pods = job["metadata"]["name"], job["spec"]["template"]["spec"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"] == {"job-name": name}
    assert pods["subdomain"] == service["metadata"]["name"]
    assert job["spec"]["completionMode"] == "Indexed"
    [container] = pods["containers"]
    environment = {each["name"]: each for each in container["env"]}
    assert set(environment) == {multi_process.ADDRESS, multi_process.COUNT, multi_process.PLACE}
    address = environment[multi_process.ADDRESS]["value"]
    assert re.fullmatch(rf"{name}-0\.{service['metadata']['name']}:\d+", address)
    assert (
        job["spec"]["parallelism"]
        == job["spec"]["completions"]
        == int(environment[multi_process.COUNT]["value"])
    )
    assert "job-completion-index" in environment[multi_process.PLACE]["valueFrom"]["fieldRef"]["fieldPath"]
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in pods["volumes"]}

"""Give the devices of GPUs that are not there: XLA's compiler needs a description of the chip, and no driver."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from man_jax.config import ConfigError
from man_jax.costs.chips import CHIPS

NODE = 8
"""GPUs in a machine, which is how many of them are sold together."""
PLUGINS = ("jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12")
EXTRA = "man_jax[gpu-plan]"


class Target(NamedTuple):
    """What the compiler asks of a GPU besides its memory and its bandwidth: figures of NVIDIA's white papers."""

    capability: tuple[int, int]
    cores: int
    """Streaming multiprocessors."""
    units: int
    """For float32, in each of them."""
    shared: int
    """Bytes of shared memory of each of them."""
    block: int
    """The most of these that one block of threads can have."""
    cache: int
    """Bytes of the second level."""
    clock: float
    """GHz."""
    name: str


_HOPPER = Target((9, 0), 132, 128, 233472, 232448, 50 * 2**20, 1.98, "NVIDIA H100 80GB HBM3")
TARGETS = {
    "a100": Target((8, 0), 108, 64, 167936, 166912, 40 * 2**20, 1.41, "NVIDIA A100-SXM4-80GB"),
    "h100": _HOPPER,
    "h200": _HOPPER._replace(name="NVIDIA H200"),
}


def gpu_compiler_is_here() -> bool:
    """Tell whether JAX's plugin for CUDA is installed; it compiles without a driver."""
    return find_spec("jax_plugins") is not None and any(map(find_spec, PLUGINS))


def gpu_devices(kind: str, number: int) -> Sequence[Any]:
    """Give the devices of so many GPUs, which can be compiled for and not run on; more than `NODE` are in nodes.

    Raises:
        ConfigError: they are no whole number of nodes, or the plugin refuses.
    """
    from jax.experimental import topologies

    if number > NODE and number % NODE:
        raise ConfigError(
            f"--topology {kind}:{number}: more than {NODE} GPUs are planned in machines of {NODE}; write a multiple of "
            f"{NODE}"
        )
    shape = f"1x{max(1, number // NODE)}x{min(number, NODE)}"
    try:
        described = topologies.get_topology_desc(
            f"{kind}:{number}", "cuda", topology=shape, target_config=target_text(kind)
        )
    except Exception as error:  # JAX and its plugin raise several kinds
        told = str(error).splitlines()[0]
        raise ConfigError(
            f"--topology {kind}:{number}: {told}; compiling for GPUs needs the version of jax that is installed in "
            f"its plugin too (pip install '{EXTRA}')"
        ) from None
    return described.devices


def target_text(kind: str) -> str:
    """Write the description of a GPU as the compiler reads it (XLA's GpuTargetConfigProto, as text)."""
    target, chip = TARGETS[kind], CHIPS[kind]
    return f"""gpu_device_info {{
  cuda_compute_capability {{ major: {target.capability[0]} minor: {target.capability[1]} }}
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  shared_memory_per_block: 49152
  shared_memory_per_core: {target.shared}
  shared_memory_per_block_optin: {target.block}
  core_count: {target.cores}
  fpus_per_core: {target.units}
  l2_cache_size: {target.cache}
  clock_rate_ghz: {target.clock}
  memory_bandwidth: {chip.bandwidth:.0f}
  device_memory_size: {chip.memory}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 8 }}
runtime_version {{ major: 12 minor: 9 }}
device_description_str: "{target.name}"
"""

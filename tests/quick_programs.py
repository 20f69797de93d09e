"""How the commands that tests start compile: fast, for programs that are compiled far longer than they run."""

from importlib.metadata import version

from packaging.version import Version

HAS_OLDER_LOOPS = Version(version("jaxlib")) < Version("0.11")
"""Whether XLA still has its older way to write loops for a CPU, which compiles in a third of the newer one's time."""

XLA_FLAGS = " ".join(
    [
        *(["--xla_cpu_use_fusion_emitters=false"] if HAS_OLDER_LOOPS else []),
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
)
"""The older loops, and code that is generated at once: in parts it takes a third more of the processors' time, and here
they all have work."""

DEVICES = "--xla_force_host_platform_device_count="

QUICK = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": XLA_FLAGS}
"""Environment variables of such a command, with as many devices as the machine has: one CPU."""

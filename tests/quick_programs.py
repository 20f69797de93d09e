"""How the commands that tests start compile: fast, for programs that are compiled far longer than they run."""

XLA_FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
"""XLA's newer way to write loops for a CPU takes three times as long to compile (jaxlib 0.10.2). Code that is generated
in parts takes a third more of the processors' time, and here they all have work."""

DEVICES = "--xla_force_host_platform_device_count="

QUICK = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": XLA_FLAGS}
"""Environment variables of such a command, with as many devices as the machine has: one CPU."""

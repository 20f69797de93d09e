"""Define the flag by which several processes do a command together."""

from absl import flags

flags.disclaim_key_flags()  # a flag belongs to the command that defines it

NAME = "distributed"


def define_distributed(does: str) -> flags.FlagHolder[bool]:
    """Define --distributed; `man_jax.commands.run_command` joins the processes before the command itself begins.

    `does`: what the processes do together, e.g. "Train".
    """
    return flags.DEFINE_bool(
        NAME,
        False,
        f"{does} together with other processes, which the environment or the cluster names: docs/SCALING.md.",
    )


def is_distributed() -> bool:
    """Tell whether the command has the flag, and the user gave it."""
    return NAME in flags.FLAGS and bool(flags.FLAGS[NAME].value)

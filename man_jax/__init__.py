"""MAN: unsupervised domain adaptation of multi-modality re-identification, in JAX and Flax.

    import man_jax

    man_jax.train("configs/demo.py", "runs/demo")
    run = man_jax.open_run("runs/demo")

`open_run` and `train` are all that a program needs; docs/USING.md has examples. They are imported at their first use,
so that this import is fast and needs no JAX.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from man_jax.trained_run import open_run
    from man_jax.training import train

__all__ = ["open_run", "train"]


def __getattr__(name: str) -> Any:
    if name == "open_run":
        from man_jax.trained_run import open_run

        return open_run
    if name == "train":
        # The command `man_jax.train` takes this place when it is imported, and can be called as this function can.
        from man_jax.training import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

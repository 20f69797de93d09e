"""Tell how fast the steps of a run are: triples a second, and the share of what the devices could do at best."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from man_jax.costs.arithmetic import count_flops
from man_jax.costs.chips import chip_of
from man_jax.engine.step import Step
from man_jax.frame import Batch, TrainState
from man_jax.runs.time_left import Phase


@dataclass
class StepMeter:
    """Counts the triples and the arithmetic of each phase's step, once."""

    peak: float | None = None
    """Operations a second that all devices together can do; None if nobody publishes it, as for a CPU."""
    _triples: dict[Phase, int] = field(default_factory=dict)
    _flops: dict[Phase, float] = field(default_factory=dict)

    def count(self, phase: Phase, step: Step, state: TrainState, batches: Sequence[Batch | None]) -> None:
        """Count the step of a phase, unless that is done; the arithmetic only where it can be compared."""
        if phase in self._triples:
            return
        self._triples[phase] = sum(len(batch.index) for batch in batches if batch is not None)
        if self.peak is not None:
            # The call of the step that follows uses what is traced here.
            self._flops[phase] = count_flops(step.trace(state, *batches).jaxpr)

    def figures(self, phase: Phase, seconds: float | None) -> dict[str, float]:
        """Give `triples_per_second` and, where the peak is known, `share_of_peak`, for a step of so many seconds.

        The arithmetic is that of matrix products and convolutions, and the peak that of bfloat16. {} if no step was
        counted or measured.
        """
        if not seconds or phase not in self._triples:
            return {}
        found = {"triples_per_second": self._triples[phase] / seconds}
        if self.peak is not None:
            found["share_of_peak"] = self._flops[phase] / seconds / self.peak
        return found


def meter_of(devices: Sequence[Any]) -> StepMeter:
    """Make the meter of a run on these devices."""
    chip = chip_of(devices[0].device_kind)
    return StepMeter(None if chip is None else chip.flops * len(devices))

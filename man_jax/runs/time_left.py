"""Estimate how long the rest of a run takes, from the steps that were measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from data_pipelines.session.progress import time_left

Phase = Literal["pretrain", "adapt"]

ENOUGH = 5
"""Steps to measure before the first estimate is shown."""
FORWARD = 1 / 3
"""The time to extract the features of a batch, as a share of a training step: the backward pass takes twice as long as
the forward pass."""


@dataclass(frozen=True)
class Plan:
    """The work of a run. Until adaptation is measured, its time is estimated from steps of pre-training."""

    pretrain_steps: int
    adapt_epochs: int
    adapt_iterations: int
    """Steps of one epoch of adaptation."""
    batches: int
    """Batches in one step of adaptation: 2, or 1 if it trains on the target alone."""
    features: float
    """Batches whose features are extracted in an epoch of adaptation, for clustering and evaluation."""


@dataclass
class Mean:
    """The mean time of equal pieces of work, in seconds."""

    seconds: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        """Add the time of one more piece."""
        self.seconds, self.count = self.seconds + seconds, self.count + 1

    def value(self) -> float | None:
        """Give the mean in seconds; None if nothing was measured yet."""
        return self.seconds / self.count if self.count else None


@dataclass
class RunClock:
    """Measures a run's steps and the time between its epochs of adaptation, and estimates the time that is left."""

    plan: Plan
    now: Callable[[], float] = time.monotonic
    _steps: dict[Phase, Mean] = field(default_factory=lambda: {"pretrain": Mean(), "adapt": Mean()})
    _between: Mean = field(default_factory=Mean)
    _compilation: dict[Phase, float] = field(default_factory=dict)
    _last: tuple[Phase, int, float] | None = None
    """Of the last step: its phase, its place in the epoch, and the time at which it ended."""
    _announced: bool = False

    def compiled(self, phase: Phase, seconds: float) -> None:
        """Keep the seconds that the compilation of a phase's step took; 0 means that nothing was compiled."""
        if seconds:
            self._compilation[phase] = seconds

    def step(self, phase: Phase, place: int) -> bool:
        """Measure a step that has just ended; the first step of an epoch has place 1.

        Returns True once, as soon as enough steps are measured for an estimate.
        """
        now = self.now()
        if self._last is not None:
            _, last_place, last = self._last
            if place == last_place + 1:
                self._steps[phase].add(now - last)
            elif (step := self._steps["adapt"].value()) and self._last[0] == phase == "adapt":
                steps = self.plan.adapt_iterations - last_place + place
                self._between.add(max(now - last - steps * step, 0.0))
        self._last = phase, place, now
        first = not self._announced and self._steps[phase].count >= ENOUGH
        self._announced |= first
        return first

    def step_seconds(self, phase: Phase) -> float | None:
        """Give the mean time of the phase's steps that were measured so far, in seconds; None before the first."""
        return self._steps[phase].value()

    def words(self, step: int) -> str:
        """Say how much time is left after `step`, e.g. "about 4 min left"; "" if that is unknown or 0."""
        seconds = self.seconds_left(step)
        return time_left(seconds) if seconds else ""

    def seconds_left(self, step: int) -> float | None:
        """Estimate the seconds from the end of `step`, counted over both phases, to the end; None if unknown."""
        plan, pretrain, adapt = self.plan, self._steps["pretrain"].value(), self._steps["adapt"].value()
        batch = pretrain if pretrain is not None else adapt and adapt / plan.batches
        if batch is None:
            return None
        adapt = batch * plan.batches if adapt is None else adapt
        between = self._between.value()
        between = batch * FORWARD * plan.features if between is None else between
        pretrain_left = max(plan.pretrain_steps - step, 0)
        adapt_left = plan.adapt_epochs * plan.adapt_iterations - max(step - plan.pretrain_steps, 0)
        compilation = 0.0
        if adapt_left and "adapt" not in self._compilation:
            compilation = plan.batches * self._compilation.get("pretrain", 0.0)
        epochs_left = adapt_left / plan.adapt_iterations
        return pretrain_left * batch + adapt_left * adapt + epochs_left * between + compilation

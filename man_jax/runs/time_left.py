"""About how long the rest of a run takes, from the steps that were measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from data_pipelines.session.progress import time_left

Phase = Literal["pretrain", "adapt"]

ENOUGH = 5
"""Steps to measure before anything is said."""
FORWARD = 1 / 3
"""What the features of a batch cost, in steps with that batch: a step goes forwards, and twice as far backwards."""


@dataclass(frozen=True)
class Plan:
    """The work of a run. Before adaptation is measured, it is reckoned in steps of pre-training."""

    pretrain_steps: int
    adapt_epochs: int
    adapt_iterations: int
    """An epoch."""
    batches: int
    """A step of adaptation: 2, or 1 of the target alone."""
    features: float
    """Batches an epoch of adaptation whose features are taken, to cluster and to evaluate."""


@dataclass
class Mean:
    """Seconds of some equal pieces of work."""

    seconds: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        """Take note of one more."""
        self.seconds, self.count = self.seconds + seconds, self.count + 1

    def value(self) -> float | None:
        """Seconds of one; None before any was measured."""
        return self.seconds / self.count if self.count else None


@dataclass
class RunClock:
    """Measures a run's steps, and what lies between the epochs of adaptation, and reckons with them what is left."""

    plan: Plan
    now: Callable[[], float] = time.monotonic
    _steps: dict[Phase, Mean] = field(default_factory=lambda: {"pretrain": Mean(), "adapt": Mean()})
    _between: Mean = field(default_factory=Mean)
    _compilation: dict[Phase, float] = field(default_factory=dict)
    _last: tuple[Phase, int, float] | None = None
    """Phase, place in its epoch, and end of the last step."""
    _announced: bool = False

    def compiled(self, phase: Phase, seconds: float) -> None:
        """Take note of a step's compilation; of a step that did not compile, nothing."""
        if seconds:
            self._compilation[phase] = seconds

    def step(self, phase: Phase, place: int) -> bool:
        """Take note that an epoch's step has ended, the first of which has place 1.

        True once, when there is enough to say how long the run will take.
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

    def words(self, step: int) -> str:
        """Say what `seconds_left` finds, e.g. "about 4 min left"; "" if that is unknown or nothing."""
        seconds = self.seconds_left(step)
        return time_left(seconds) if seconds else ""

    def seconds_left(self, step: int) -> float | None:
        """Seconds from the end of a step of the run, counted over both phases, to that of the last; None if unknown."""
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

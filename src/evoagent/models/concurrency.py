"""How many requests a server is sent at once: found by trying, below a bound that the user sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from evoagent.errors import TransientError
from evoagent.models.engines.base import Lane

START = 32  # requests at once, before anything is known of the server
FEWEST = 16  # answers that say something of a rate
SHORTEST = 0.25  # seconds that do
RISE = 1.05  # of the rate of answers, that makes a step up worth while
REFUSED = 1 / 8  # share of refusals above which there are too many requests; below it, they are the server's weather
REST = 8  # looks at a rate between two tries to raise it


class BusyError(TransientError):
    """The server refuses this request because of the others: 429, 503, or no answer in time."""


class Outcome(NamedTuple):
    """What became of one call.

    Attributes:
        refused: the server was too busy for it.
        sent: when it was sent, in seconds of a monotonic clock.
        ended: when it ended, by the same clock.
        crowded: others waited for its place meanwhile.
    """

    refused: bool
    sent: float
    ended: float
    crowded: bool


class Limit(Protocol):
    """Says how many calls may run at once."""

    def after(self, outcome: Outcome) -> int:
        """Learn from one call; how many may run at once from now on."""


@dataclass(frozen=True, slots=True)
class ElasticLane(Lane):
    """A lane whose `parallel` is only the upper bound: what is best is found while it is used."""


class AdaptiveLimit:
    """Steps up while that brings more answers a second; halves when the server refuses what it has taken before.

    A rate is taken over as many answers as run at once, and not before as many have come under the present limit. A
    step that is refused, or did not raise the rate by a twentieth, is taken back, and tried again after eight looks.
    Steps double until the first that is taken back; from then on they add a quarter.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._now = min(START, bound)
        self._doubles = True
        self._proven, self._rate = 0, 0.0  # a limit that is worth while, and its answers a second
        self._rest = 0
        self._changed = 0.0
        self._settled = False
        self._answers = self._refusals = 0
        self._since = 0.0

    def after(self, outcome: Outcome) -> int:
        """Learn from one call; how many may run at once from now on."""
        if outcome.refused:
            if outcome.sent >= self._changed:  # else it says nothing of the present limit
                self._refusals += 1
            if self._refusals > REFUSED * max(self._now, FEWEST):
                self._back_off(outcome.ended)
            return self._now
        self._answers += 1
        if self._answers >= max(self._now, FEWEST) and outcome.ended - self._since >= SHORTEST:
            self._look(outcome)
        return self._now

    def _look(self, outcome: Outcome) -> None:
        rate = self._answers / max(outcome.ended - self._since, 1e-6)
        measured, self._settled = self._settled, True
        self._answers, self._refusals, self._since = 0, 0, outcome.ended
        if not measured or not outcome.crowded:
            return
        if self._now > self._proven and rate < RISE * self._rate:
            self._back_off(outcome.ended)
            return
        self._proven, self._rate = self._now, rate
        if self._rest:
            self._rest -= 1
        elif self._now < self._bound:
            step = self._now if self._doubles else max(1, self._now // 4)
            self._change(min(self._now + step, self._bound), outcome.ended)

    def _back_off(self, now: float) -> None:
        """Take the last step back; halve where there was none."""
        if self._now <= self._proven:
            self._proven, self._rate = 0, 0.0
        self._doubles, self._rest = False, REST
        self._change(self._proven or max(1, self._now // 2), now)

    def _change(self, limit: int, now: float) -> None:
        self._now, self._changed, self._since, self._settled = limit, now, now, False
        self._answers = self._refusals = 0

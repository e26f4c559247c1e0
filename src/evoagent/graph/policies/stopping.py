"""When a stage ends: policies of one method, asked in order after each round."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from evoagent.config.model import StopConfig


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a stage has come, over all processes that worked on it.

    Attributes:
        rounds: that it has finished.
        candidates: that it has written, and `survivors` of those.
        barren: rounds in a row, the last one included, without a survivor.
        tokens: prompt and completion tokens that it has paid for.
        seconds: that it has taken.
    """

    rounds: int = 0
    candidates: int = 0
    survivors: int = 0
    barren: int = 0
    tokens: int = 0
    seconds: float = 0.0


class Stop(Protocol):
    """A reason to end a stage."""

    def reason(self, standing: Standing) -> str | None:
        """Why it ends there, in a few words; None if it goes on."""
        ...


@dataclass(frozen=True, slots=True)
class Survivors:
    """As many survivors as were asked for."""

    most: int

    def reason(self, standing: Standing) -> str | None:
        """See `Stop`."""
        return f"{self.most} survivors" if standing.survivors >= self.most else None


@dataclass(frozen=True, slots=True)
class Rounds:
    """A number of rounds."""

    most: int

    def reason(self, standing: Standing) -> str | None:
        """See `Stop`."""
        return f"{self.most} rounds" if standing.rounds >= self.most else None


@dataclass(frozen=True, slots=True)
class Candidates:
    """A budget of candidates. It is spent when a call that gives `call` of them has no room any more."""

    most: int
    call: int = 1

    def reason(self, standing: Standing) -> str | None:
        """See `Stop`."""
        spent = standing.candidates + self.call > self.most
        return f"budget of {self.most} candidates" if spent else None


@dataclass(frozen=True, slots=True)
class Tokens:
    """A budget of tokens, of prompts and completions."""

    most: int

    def reason(self, standing: Standing) -> str | None:
        """See `Stop`."""
        return f"budget of {self.most} tokens" if standing.tokens >= self.most else None


@dataclass(frozen=True, slots=True)
class Minutes:
    """A budget of time."""

    most: float

    def reason(self, standing: Standing) -> str | None:
        """See `Stop`."""
        return f"budget of {self.most:g} minutes" if standing.seconds >= self.most * 60 else None


@dataclass(frozen=True, slots=True)
class BarrenRounds:
    """Rounds in a row without a survivor."""

    most: int

    def reason(self, standing: Standing) -> str | None:
        """See `Stop`."""
        return f"no survivor in {standing.barren} rounds" if standing.barren >= self.most else None


def stops(config: StopConfig, call: int = 1) -> list[Stop]:
    """The policies of a configuration, in the order in which their reasons are told.

    Args:
        call: candidates that one call of an operator may give.
    """
    found: list[Stop | None] = [
        None if config.survivors is None else Survivors(config.survivors),
        None if config.rounds is None else Rounds(config.rounds),
        None if config.candidates is None else Candidates(config.candidates, call),
        *budgets(config),
        None if config.barren_rounds is None else BarrenRounds(config.barren_rounds),
    ]
    return [stop for stop in found if stop is not None]


def budgets(config: StopConfig) -> list[Stop]:
    """Those that also end a round in its middle."""
    found: list[Stop | None] = [
        None if config.tokens is None else Tokens(config.tokens),
        None if config.minutes is None else Minutes(config.minutes),
    ]
    return [stop for stop in found if stop is not None]


def first_reason(policies: Iterable[Stop], standing: Standing) -> str | None:
    """What the first of `policies` that ends the stage says; None if it goes on."""
    return next((reason for stop in policies if (reason := stop.reason(standing)) is not None), None)

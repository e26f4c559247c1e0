"""What a run tells whoever watches: plain values through the graph's stream writer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run has its directory, and is about to load its models."""

    run: str
    directory: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage of several begins with round `round` and `population` members."""

    stage: str
    round: int
    population: int


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A node begins; `total` is how many items it will handle."""

    node: str
    round: int
    total: int


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """A node has handled `done` of `total` items. `tokens_per_second` counts generated tokens since its start."""

    node: str
    round: int
    done: int
    total: int
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class NodeFinished:
    """A node is through; `retried` counts what it had to ask its models again, since they could not answer."""

    node: str
    round: int
    total: int
    seconds: float
    retried: int = 0


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """A round's balance: candidates = survivors + the sum over `rejected`.

    `figures` are what scorers and selectors measured of all survivors so far, as NAME.FIGURE.
    """

    round: int
    candidates: int
    survivors: int
    rejected: dict[str, int] = field(default_factory=dict)
    previews: tuple[dict[str, str], ...] = ()
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the user should know; the run goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run's summary, as `evoagent run --json` prints it."""

    summary: dict[str, Any]


Event = RunStarted | StageStarted | NodeStarted | NodeProgress | NodeFinished | RoundFinished | Notice | RunFinished


def to_json(event: Event) -> dict[str, Any]:
    """The event as a JSON-able mapping with its type under "event"."""
    return {"event": type(event).__name__, **asdict(event)}

"""Order candidates by a score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evoagent.records import Candidate

Direction = Literal["descending", "ascending"]


def value_of(candidate: Candidate, by: str) -> float | None:
    """The value of the score `by`; None where it is missing."""
    score = candidate.scores.get(by)
    return None if score is None else score.value


def ranked(candidates: Sequence[Candidate], by: str, direction: Direction) -> list[int]:
    """Positions of `candidates`, best first; those without a score last; equals in the order of their ids."""

    def key(number: int) -> tuple[bool, float, str]:
        value = value_of(candidates[number], by)
        signed = 0.0 if value is None else value if direction == "ascending" else -value
        return value is None, signed, candidates[number].id

    return sorted(range(len(candidates)), key=key)

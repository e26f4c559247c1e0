"""Order candidates by a score."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evoagent.population.base import Population
from evoagent.records import Candidate

Direction = Literal["descending", "ascending"]


def value_of(candidate: Candidate, by: str) -> float | None:
    """The value of the score `by`; None where it is missing."""
    score = candidate.scores.get(by)
    return None if score is None else score.value


def ranked(ids: NDArray[np.str_], values: NDArray[np.float64], direction: Direction) -> NDArray[np.intp]:
    """Numbers of the members, best value first; those without (NaN) last; equals in the order of their ids."""
    missing = np.isnan(values)
    signed = np.where(missing, 0.0, values if direction == "ascending" else -values)
    order: NDArray[np.intp] = np.lexsort((ids, signed, missing))  # the last key weighs most
    return order


async def why_missing(members: Population, by: str, numbers: NDArray[np.intp]) -> dict[int, str]:
    """Why the members of these numbers have no score `by`, by number."""
    found = {}
    for number, member in zip(numbers.tolist(), await members.rows(numbers), strict=True):
        score = member.scores.get(by)
        found[number] = score.reason if score is not None and score.reason else "it was not scored"
    return found

"""Asking scorers: what they raise or return becomes a score, or a missing one with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.failures import DATA_CHARACTERS, Failures, explain, finite, plain_json, shown, storable
from evoagent.models.roles import Models
from evoagent.plugins.calls import Calls
from evoagent.plugins.loaded import LoadedScorer
from evoagent.records import Candidate, Score

REASON_CHARACTERS = 500
FIGURES = 100  # that one plugin may measure
NAME_CHARACTERS = 100  # of a figure's name


async def score(scorer: LoadedScorer, candidate: Candidate, models: Models, calls: Calls, failures: Failures) -> Score:
    """The score of one candidate; what a scorer raises becomes a missing score with its reason."""
    method = scorer.plugin.score  # type: ignore[union-attr]
    failures.called(scorer.title)
    try:
        found = await calls.guard(scorer, method, candidate, models)
    except (EngineError, LedgerError, UserError):
        raise
    except Exception as error:
        return missing(scorer, explain(error), failures)
    return checked(found, scorer, failures)


def checked(found: object, scorer: LoadedScorer, failures: Failures) -> Score:
    """`found` if it is a usable score, else a missing one with the reason."""
    try:
        return _checked(found)
    except Exception as error:
        return missing(scorer, str(error), failures)


def _checked(found: object) -> Score:
    if not isinstance(found, Score):
        raise TypeError(f"the scorer returned {shown(found)}, expected a Score")
    reason: Any = found.reason
    if reason is not None:
        reason = storable(reason[:REASON_CHARACTERS]) if isinstance(reason, str) else shown(reason)
    details, flaw = _plain("details", found.details)
    data, worse = _plain("data", found.data)
    value: Any = found.value
    if value is None:
        return Score(None, reason or "the scorer gave no reason", details, data)
    number = finite(value)
    if number is None:
        raise ValueError(f"the scorer returned the value {shown(value)}, expected a finite number")
    return Score(number, reason or worse or flaw, details, data)


def _plain(name: str, value: Any) -> tuple[dict[str, Any], str | None]:
    """Details or data as plain JSON, or none and why: a good figure is not lost for them."""
    try:
        return plain_json(value, DATA_CHARACTERS), None
    except Exception as error:
        return {}, f"its {name} cannot be stored: {explain(error)}"[:REASON_CHARACTERS]


def missing(scorer: LoadedScorer, why: str, failures: Failures) -> Score:
    """The score of a candidate that `scorer` could not score; it is counted as a failure."""
    failures.failed(scorer.title, why)
    return Score(None, f"{scorer.title}: {why}" if scorer.of else why)


def checked_figures(name: str, found: object) -> dict[str, float]:
    """What plugin `name` has measured, by NAME.FIGURE; what is no finite number is left out.

    Raises:
        TypeError: it is no mapping.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"returned {shown(found)}, expected numbers by name")
    figures = {}
    for key, value in list(found.items())[:FIGURES]:
        number = finite(value)
        if isinstance(key, str) and number is not None:
            plain = " ".join(storable(key[:NAME_CHARACTERS]).split())
            figures[f"{name}.{plain}"[:160]] = number
    return figures

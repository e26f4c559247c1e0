"""Asking scorers: what they raise or return becomes a score, or a missing one with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.failures import DATA_CHARACTERS, Failures, explain, finite, plain_json, shown, storable
from evoagent.models.calls import Calls
from evoagent.models.roles import Models
from evoagent.records import Candidate, Score
from evoagent.state import LoadedScorer

REASON_CHARACTERS = 500
FIGURES = 100  # that one plugin may measure
NAME_CHARACTERS = 100  # of a figure's name


async def score(scorer: LoadedScorer, candidate: Candidate, models: Models, calls: Calls, failures: Failures) -> Score:
    """The score of one candidate; what a scorer raises becomes a missing score with its reason."""
    method = scorer.plugin.score  # type: ignore[union-attr]
    failures.called(scorer.title)
    try:
        found = await calls.guard(scorer.title, method, candidate, models, limited=scorer.strange)
    except (EngineError, LedgerError, UserError):
        raise
    except Exception as error:
        return _missing(scorer, explain(error), failures)
    return checked(found, scorer, failures)


async def score_all(
    scorer: LoadedScorer,
    candidates: Sequence[Candidate],
    survivors: Sequence[Candidate],
    models: Models,
    calls: Calls,
    failures: Failures,
) -> list[Score]:
    """As `score`, for a scorer that sees all candidates of a round at once; one score a candidate, in order."""
    method = scorer.plugin.score_all  # type: ignore[union-attr]
    for _ in candidates:
        failures.called(scorer.title)
    why = ""
    try:
        # Copies: what a plugin does to its lists is nobody else's affair.
        lists = (list(candidates), list(survivors))
        found = await calls.attempt(scorer.title, method, *lists, models, limited=scorer.strange)
        if not isinstance(found, (list, tuple)):
            why = f"returned {shown(found)}, expected a list of one Score for each of {len(candidates)} candidates"
        elif len(found) != len(candidates):
            why = f"{len(found)} scores for {len(candidates)} candidates"
    except (EngineError, LedgerError, UserError):
        raise
    except Exception as error:
        why = explain(error)
    if why:
        return [_missing(scorer, why, failures) for _ in candidates]
    return [checked(item, scorer, failures) for item in found]


def checked(found: object, scorer: LoadedScorer, failures: Failures) -> Score:
    """`found` if it is a usable score, else a missing one with the reason."""
    try:
        return _checked(found)
    except Exception as error:
        return _missing(scorer, str(error), failures)


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


def _missing(scorer: LoadedScorer, why: str, failures: Failures) -> Score:
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

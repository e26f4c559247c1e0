"""Asking scorers: what they raise or return becomes a score, or a missing one with the reason."""

from __future__ import annotations

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.failures import Failures, explain
from evoagent.models.roles import Models
from evoagent.plugins.calls import Calls
from evoagent.plugins.loaded import LoadedScorer
from evoagent.plugins.returned import checked_score
from evoagent.records import Candidate, Score


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
        return checked_score(found)
    except Exception as error:
        return missing(scorer, str(error), failures)


def missing(scorer: LoadedScorer, why: str, failures: Failures) -> Score:
    """The score of a candidate that `scorer` could not score; it is counted as a failure."""
    failures.failed(scorer.title, why)
    return Score(None, f"{scorer.title}: {why}" if scorer.of else why)

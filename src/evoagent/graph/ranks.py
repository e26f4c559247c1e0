"""Asking the response selector which of several responses is kept."""

from __future__ import annotations

from collections.abc import Sequence

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.failures import explain
from evoagent.graph.context import EvolutionContext
from evoagent.models.roles import Models
from evoagent.plugins.returned import checked_ranks
from evoagent.records import Candidate


async def rank(answered: Sequence[Candidate], models: Models, context: EvolutionContext) -> list[float | None]:
    """A rank for each of `answered`; where the selector fails all are equal, so that the first is kept."""
    if len(answered) < 2:
        return [0.0] * len(answered)
    selector = context.stage.response_selector
    context.failures.called(selector.title)
    method = selector.plugin.rank
    try:
        found = await context.calls.guard(selector, method, list(answered), models)
        return checked_ranks(found, len(answered))
    except (EngineError, LedgerError, UserError):
        raise
    except Exception as error:
        context.failures.failed(selector.title, explain(error))
        return [0.0] * len(answered)

"""Asking the response selector which of several responses is kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from evoagent.errors import EngineError, LedgerError, UserError
from evoagent.failures import explain, finite, shown
from evoagent.graph.context import EvolutionContext
from evoagent.models.roles import Models
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


def checked_ranks(found: object, count: int) -> list[float | None]:
    """What a response selector returned: a rank for each of `count` responses.

    Raises:
        TypeError, ValueError: it is none.
    """
    items = list(islice(found, count + 1)) if isinstance(found, Sequence) and not isinstance(found, str) else []
    if len(items) != count:
        raise TypeError(f"returned {shown(found)}, expected a list of one number or None for each of {count} responses")
    ranks: list[float | None] = []
    for value in items:
        number = None if value is None else finite(value)
        if value is not None and number is None:
            raise ValueError(f"returned the rank {shown(value)}, expected a finite number or None")
        ranks.append(number)
    return ranks

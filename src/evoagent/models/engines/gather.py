"""Running the requests of a batch side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from evoagent.errors import EngineError

Question = TypeVar("Question")
Answer = TypeVar("Answer")


async def gather_each(
    requests: Sequence[Question], answer: Callable[[Question], Awaitable[Answer]]
) -> list[Answer | Exception]:
    """Answer all requests at once; an exception is the outcome of its request alone.

    Raises:
        EngineError: what any of them raised, once all have ended.
    """
    if len(requests) == 1:  # no task of its own
        try:
            return [await answer(requests[0])]
        except EngineError:
            raise
        except Exception as error:
            return [error]
    outcomes = await asyncio.gather(*(answer(request) for request in requests), return_exceptions=True)
    results: list[Answer | Exception] = []
    for outcome in outcomes:
        if isinstance(outcome, EngineError) or (
            isinstance(outcome, BaseException) and not isinstance(outcome, Exception)
        ):
            raise outcome
        results.append(outcome)
    return results

"""What plugins that see a whole population give, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def collect(found: AsyncIterator[T] | Awaitable[Sequence[T]]) -> list[T]:
    """All that a call of `score_all`, `judge_all` or `select` yields or returns."""
    if isinstance(found, AsyncIterator):
        return [item async for item in found]
    return list(await found)

"""Requests that are sent again: when, and what the user is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evoagent.errors import TransientError
from evoagent.models.accounts import Accounts

MANY = 0.05  # of all attempts
FEW = 100  # attempts that say nothing yet


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off for faults that may pass: `attempts` in all, waiting `first` seconds, then doubling."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 30.0

    def delay(self, attempt: int, retry_after: float | None) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1); a server's own wish counts up to 5 min."""
        if retry_after is not None:
            return min(retry_after, 300.0)
        return min(self.first * 2.0 ** (attempt - 1), self.longest)


class RetryNotice:
    """Tells once that many requests are sent again: the run goes on, but slowly, and costs more than it must."""

    def __init__(self, accounts: Accounts, notice: Callable[[str], None]) -> None:
        self._accounts, self._notice, self._told = accounts, notice, False

    def look(self, last: TransientError) -> None:
        """Tell, if it is so and has not been told; `last` is why the last one failed."""
        retried = self._accounts.retries
        attempts = retried + self._accounts.answers
        if not self._told and attempts >= FEW and retried > MANY * attempts:
            self._told = True
            self._notice(f"{retried} of {attempts} requests failed for now and are sent again, the last: {last}")

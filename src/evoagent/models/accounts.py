"""What a process has asked of its models: by role, operator and round."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from evoagent.models.requests import Completion, Result, Scope


@dataclass(slots=True)
class Account:
    """Totals of one (role, operator, round).

    Attributes:
        sent: requests that a model answered.
        cached: requests that the log answered, or one already in flight.
        retried: attempts that failed for a reason that may pass, and were followed by another.
    """

    sent: int = 0
    cached: int = 0
    retried: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Accounts:
    """Running totals.

    Attributes:
        by_key: indexed by (role, operator, round).
        answers: requests that a model answered, of all.
        retries: attempts that were followed by another, of all.
        completion_tokens: generated, of all.
    """

    def __init__(self) -> None:
        self.by_key: defaultdict[tuple[str, str, int], Account] = defaultdict(Account)
        self.answers = self.retries = self.completion_tokens = 0

    def hit(self, role: str, scope: Scope) -> None:
        """Count an answer that cost nothing."""
        self.by_key[role, scope.operator, scope.round].cached += 1

    def sent(self, role: str, scope: Scope, result: Result, seconds: float) -> None:
        """Count an answer that a model gave."""
        account = self.by_key[role, scope.operator, scope.round]
        account.sent += 1
        self.answers += 1
        account.seconds += seconds
        account.prompt_tokens += result.prompt_tokens
        if isinstance(result, Completion):
            account.completion_tokens += result.completion_tokens
            self.completion_tokens += result.completion_tokens

    def retry(self, role: str, scope: Scope) -> None:
        """Count an attempt that is followed by another."""
        self.by_key[role, scope.operator, scope.round].retried += 1
        self.retries += 1

    def total(self, name: str) -> float:
        """The sum of one field of `Account` over everything."""
        return float(sum(getattr(account, name) for account in self.by_key.values()))

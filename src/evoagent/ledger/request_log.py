"""The request log: every answer of every model under a key made of the request's content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from evoagent.ledger import schema
from evoagent.ledger.database import Database

LOOKUP_CHUNK = 500  # keys a query: below SQLite's limit on bound variables


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """An answered request, as stored. `result` is JSON-able; `array` holds float32 bytes where there are any."""

    key: str
    verb: str
    role: str
    operator: str
    round: int
    model: str
    result: dict[str, Any]
    array: bytes | None
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class RequestLog:
    """Reads and appends answers; `run_id` says on whose account an answer was asked for."""

    def __init__(self, database: Database, run_id: str) -> None:
        self._database = database
        self._run_id = run_id

    def find(self, keys: Sequence[str]) -> dict[str, tuple[dict[str, Any], bytes | None]]:
        """The stored (result, array) of those of `keys` that have been answered before."""
        table = schema.requests
        found: dict[str, tuple[dict[str, Any], bytes | None]] = {}
        with self._database.transaction() as connection:
            for start in range(0, len(keys), LOOKUP_CHUNK):
                chunk = keys[start : start + LOOKUP_CHUNK]
                query = select(table.c.key, table.c.result, table.c.array).where(table.c.key.in_(chunk))
                found.update({key: (result, array) for key, result, array in connection.execute(query)})
        return found

    def append(self, entries: Iterable[LoggedRequest]) -> None:
        """Store answers in one transaction; a key that is there already keeps its first answer."""
        rows = [
            {name: getattr(entry, name) for name in LoggedRequest.__slots__} | {"run_id": self._run_id}
            for entry in entries
        ]
        with self._database.transaction() as connection:
            self._database.insert(connection, schema.requests, rows)

    def usage(self) -> dict[str, dict[str, float]]:
        """What this run has sent, by role: requests, prompt and completion tokens, seconds."""
        table = schema.requests
        query = (
            select(
                table.c.role,
                func.count(),
                func.sum(table.c.prompt_tokens),
                func.sum(table.c.completion_tokens),
                func.sum(table.c.seconds),
            )
            .where(table.c.run_id == self._run_id)
            .group_by(table.c.role)
            .order_by(table.c.role)
        )
        with self._database.transaction() as connection:
            return {
                role: {"requests": count, "prompt": prompt, "completion": completion, "seconds": seconds}
                for role, count, prompt, completion, seconds in connection.execute(query)
            }

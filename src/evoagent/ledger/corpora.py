"""The rows of corpora, by the version of what they say: read once a directory, and drawn from by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import RowMapping, func, select

from evoagent.ledger import schema
from evoagent.ledger.database import PAGE, Database
from evoagent.records import Instruction


class CorpusStore:
    """Reads and writes corpora in one database. All methods are synchronous and transactional."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def size(self, version: str) -> int | None:
        """How many rows a corpus has; None if it is not here."""
        table = schema.corpora
        with self.database.transaction() as connection:
            return connection.scalar(select(table.c.rows).where(table.c.version == version))

    def add(self, version: str, rows: Iterable[Instruction]) -> None:
        """Record a corpus: all of it, or nothing."""
        table, numbered = schema.corpus_rows, enumerate(rows)
        with self.database.transaction() as connection:
            while page := list(islice(numbered, PAGE)):
                values = [_row(version, item, position) for position, item in page]
                self.database.insert(connection, table, values)
            count = connection.scalar(select(func.count()).where(table.c.version == version)) or 0
            at = datetime.now(UTC).isoformat(timespec="seconds")
            self.database.insert(connection, schema.corpora, [{"version": version, "rows": count, "added_at": at}])

    def at(self, version: str, positions: Sequence[int]) -> list[Instruction]:
        """The rows at `positions`, in that order."""
        table = schema.corpus_rows
        found: dict[int, Instruction] = {}
        with self.database.transaction() as connection:
            for start in range(0, len(positions), PAGE):
                page = positions[start : start + PAGE]
                query = select(table).where(table.c.version == version, table.c.position.in_(page))
                for row in connection.execute(query).mappings():
                    found[row["position"]] = _instruction(row)
        return [found[position] for position in positions]


def _row(version: str, item: Instruction, position: int) -> dict[str, object]:
    return {
        "version": version,
        "position": position,
        "id": item.id,
        "instruction": item.instruction,
        "input": item.input,
        "output": item.output,
        "data": dict(item.data),
    }


def _instruction(row: RowMapping) -> Instruction:
    texts = {name: row[name] for name in ("id", "instruction", "input", "output", "data")}
    return Instruction(**texts, seed_id=row["id"])

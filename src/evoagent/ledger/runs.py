"""The runs of a directory, and what is kept beside their candidates: methods, figures, reviews, settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    func,
    select,
    update,
)

from evoagent.ledger import schema
from evoagent.ledger.database import PAGE, Database
from evoagent.ledger.rows import (
    RunRecord,
    instruction_row,
)
from evoagent.records import Instruction


class Runs:
    """Reads and writes runs, and what belongs to a whole run or to the directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_meta(self, key: str) -> str | None:
        """A setting of the whole directory."""
        with self._database.transaction() as connection:
            return connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == key))

    def last_run(self) -> RunRecord | None:
        """The newest run, or None in a new ledger."""
        columns = [schema.runs.c[name] for name in RunRecord.__slots__]
        query = select(*columns).order_by(schema.runs.c.number.desc()).limit(1)
        with self._database.transaction() as connection:
            row = connection.execute(query).mappings().first()
        return RunRecord(**row) if row else None

    def begin(
        self,
        run_id: str,
        decisions: str,
        config: Mapping[str, Any],
        versions: Mapping[str, str],
        seeds: Iterable[Instruction],
        bad: int,
        identity: Mapping[str, str],
    ) -> None:
        """Open a new run with its seeds as the population of round 1; an unfinished one before it is abandoned.

        Args:
            versions: of plugins and models, by what messages call them.
            identity: settings of the whole directory, stored with its first run.
        """
        runs = schema.runs
        with self._database.transaction() as connection:
            connection.execute(update(runs).where(runs.c.status == "running").values(status="abandoned"))
            number = (connection.scalar(select(func.max(runs.c.number))) or 0) + 1
            row = {"id": run_id, "number": number, "status": "running", "decisions": decisions, "config": dict(config)}
            row["versions"] = dict(versions)
            row |= {"seeds_bad": bad, "seconds": 0.0, "started_at": datetime.now(UTC).isoformat(timespec="seconds")}
            connection.execute(runs.insert(), [row])
            self._database.insert(connection, schema.meta, [{"key": k, "value": v} for k, v in identity.items()])
            numbered = enumerate(seeds)
            while page := list(islice(numbered, PAGE)):
                places = [
                    {"run_id": run_id, "round": 1, "position": position, "instruction_id": seed.id}
                    for position, seed in page
                ]
                members = [instruction_row(run_id, seed, position) for position, seed in page]
                self._database.insert(connection, schema.instructions, members)
                self._database.insert(connection, schema.population, places)

    def add_seconds(self, run_id: str, seconds: float) -> None:
        """Add to the time that the run has taken, over all processes that worked on it."""
        runs = schema.runs
        with self._database.transaction() as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(seconds=runs.c.seconds + seconds))

    def admitted(self, run_id: str, round: int) -> int:
        """How many operator calls of `round` a budget has let through."""
        runs = schema.runs
        with self._database.transaction() as connection:
            found = connection.scalar(select(runs.c.admitted).where(runs.c.id == run_id)) or {}
        return int(found["calls"]) if found.get("round") == round else 0

    def admit(self, run_id: str, round: int, calls: int) -> None:
        """Let the first `calls` operator calls of `round` through, whatever becomes of the budget."""
        runs = schema.runs
        with self._database.transaction() as connection:
            value = {"round": round, "calls": calls}
            connection.execute(update(runs).where(runs.c.id == run_id).values(admitted=value))

    def end(self, run_id: str, stop_reason: str, summary: Mapping[str, Any]) -> None:
        """Mark a run as done."""
        runs = schema.runs
        with self._database.transaction() as connection:
            values = {"status": "done", "stop_reason": stop_reason, "summary": dict(summary)}
            connection.execute(update(runs).where(runs.c.id == run_id).values(**values))

    def add_methods(self, run_id: str, round: int, params: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the parameters that operators have from `round` on."""
        rows = [{"run_id": run_id, "round": round, "operator": n, "params": dict(p)} for n, p in params.items()]
        with self._database.transaction() as connection:
            self._database.insert(connection, schema.methods, rows)

    def methods(self, run_id: str, since: int, round: int) -> dict[str, dict[str, Any]]:
        """The parameters that an optimizer has given to operators for `round`, in the stage that began with `since`."""
        table = schema.methods
        query = select(table).where(table.c.run_id == run_id, table.c.round >= since, table.c.round <= round)
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(table.c.round)).mappings()
            return {row["operator"]: row["params"] for row in rows}

    def save_figures(self, run_id: str, round: int, figures: Mapping[str, float]) -> None:
        """Record what plugins measured of the whole dataset after `round`."""
        rows = [{"run_id": run_id, "round": round, "name": name, "value": value} for name, value in figures.items()]
        with self._database.transaction() as connection:
            self._database.insert(connection, schema.figures, rows)

    def figures(self, run_id: str) -> dict[int, dict[str, float]]:
        """What plugins measured, by round and name."""
        table = schema.figures
        query = select(table).where(table.c.run_id == run_id).order_by(table.c.round, table.c.name)
        found: dict[int, dict[str, float]] = {}
        with self._database.transaction() as connection:
            for row in connection.execute(query).mappings():
                found.setdefault(row["round"], {})[row["name"]] = row["value"]
        return found

    def has_reviews(self) -> bool:
        """Whether a person has decided on anything in this directory."""
        with self._database.transaction() as connection:
            return connection.scalar(select(schema.reviews.c.key).limit(1)) is not None

    def reviews(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What a person has decided, in whichever run, by the key of what was shown."""
        table = schema.reviews
        found: dict[str, dict[str, Any]] = {}
        with self._database.transaction() as connection:
            for start in range(0, len(keys), PAGE):
                query = select(table).where(table.c.key.in_(keys[start : start + PAGE]))
                found |= {row["key"]: dict(row) for row in connection.execute(query).mappings()}
        return found

    def save_reviews(self, rows: Sequence[dict[str, Any]]) -> None:
        """Record a person's decisions; those recorded before stay as they are."""
        with self._database.transaction() as connection:
            self._database.insert(connection, schema.reviews, rows)

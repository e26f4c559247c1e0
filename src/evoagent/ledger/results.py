"""What came of a run: balances, the dataset, and the way back from a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    Integer,
    and_,
    func,
    select,
    tuple_,
)

from evoagent.ledger import schema
from evoagent.ledger.assembling import (
    COLUMNS,
    JUDGED,
    assemble,
    instructions_of,
    kept_rows,
    responses_of,
    scores_of,
    verdicts_of,
)
from evoagent.ledger.database import PAGE, Database
from evoagent.ledger.rows import (
    StoredCandidate,
    Totals,
)
from evoagent.records import Instruction, Verdict


class Results:
    """Reads what a run has come to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def stages(self, run_id: str) -> dict[str, tuple[int, int]]:
        """The first and the last round of each stage that has candidates, in order."""
        table = schema.candidates
        first = func.min(table.c.round)
        query = select(table.c.stage, first, func.max(table.c.round)).where(table.c.run_id == run_id)
        with self._database.transaction() as connection:
            rows = connection.execute(query.group_by(table.c.stage).order_by(first)).all()
        return {stage: (low, high) for stage, low, high in rows}

    def rounds(self, run_id: str) -> int:
        """The last round that has candidates; 0 before the first."""
        table = schema.candidates
        with self._database.transaction() as connection:
            return connection.scalar(select(func.max(table.c.round)).where(table.c.run_id == run_id)) or 0

    def totals(self, run_id: str, first: int = 1, last: int | None = None) -> Totals:
        """The balance of a run, or of the rounds from `first` to `last`."""
        table, verdict = schema.candidates, schema.verdicts
        count = select(func.count()).where(table.c.run_id == run_id)
        judged = select(verdict.c.kept, verdict.c.rule, func.count()).where(verdict.c.run_id == run_id)
        if first > 1:
            count, judged = count.where(table.c.round >= first), judged.where(verdict.c.round >= first)
        if last is not None:
            count, judged = count.where(table.c.round <= last), judged.where(verdict.c.round <= last)
        with self._database.transaction() as connection:
            candidates = connection.scalar(count) or 0
            rows = connection.execute(judged.group_by(verdict.c.kept, verdict.c.rule)).all()
        survivors = sum(number for kept, _, number in rows if kept)
        rejected = {rule: number for kept, rule, number in sorted(rows, key=lambda row: row[1]) if not kept}
        return Totals(candidates, survivors, rejected)

    def counts_by(self, run_id: str, column: str) -> dict[str, tuple[int, int]]:
        """(candidates, survivors) by a column of the candidates, such as "operator" or "round"."""
        table, verdict = schema.candidates, schema.verdicts
        key = table.c[column]
        kept = func.sum(func.coalesce(verdict.c.kept.cast(Integer), 0))
        query = select(key, func.count(), kept).select_from(table.outerjoin(verdict, JUDGED))
        with self._database.transaction() as connection:
            rows = connection.execute(query.where(table.c.run_id == run_id).group_by(key).order_by(key)).all()
        return {str(value): (count, int(survived or 0)) for value, count, survived in rows}

    def commonest_detail(self, run_id: str, rule: str, words: str) -> tuple[int, str, int]:
        """How often a rule says something with `words` in it, what it says most often then, and how often that."""
        table = schema.verdicts
        here = and_(table.c.run_id == run_id, table.c.rule == rule, table.c.detail.contains(words, autoescape=True))
        query = select(table.c.detail, func.count()).where(here).group_by(table.c.detail).order_by(func.count().desc())
        with self._database.transaction() as connection:
            total = connection.scalar(select(func.count()).where(here)) or 0
            row = connection.execute(query.limit(1)).first()
        return (total, row[0], row[1]) if row else (0, "", 0)

    def dataset(self, run_id: str, stage: str, *, responses: bool = False) -> Iterator[dict[str, Any]]:
        """The survivors of `stage` as rows of the dataset, in order of round and position.

        Args:
            responses: each row has all of its responses too; an empty list where there was one only.
        """
        place, last = tuple_(schema.candidates.c.round, schema.candidates.c.position), (0, -1)
        while True:
            query = kept_rows(run_id, stage).where(place > last).limit(PAGE)
            with self._database.transaction() as connection:
                rows = connection.execute(query).mappings().all()
                scores = scores_of(connection, run_id, [row["id"] for row in rows])
                others = responses_of(connection, run_id, [row["id"] for row in rows]) if responses else {}
            for row in rows:
                yield {
                    "id": row["id"],
                    "parent_ids": row["parent_ids"],
                    "seed_id": row["seed_id"],
                    "round": row["round"],
                    "operator": row["operator"],
                    "instruction": row["instruction"],
                    "input": row["input"],
                    "output": row["response"] or "",
                    "scores": {name: score.value for name, score in scores.get(row["id"], {}).items()},
                    "data": row["data"],
                    "model": row["model"],
                    "responder": row["responder"] or "",
                    **({"responses": others.get(row["id"], [])} if responses else {}),
                }
            if len(rows) < PAGE:
                return
            last = (rows[-1]["round"], rows[-1]["position"])

    def dataset_id(self, run_id: str, stage: str, row: int) -> str | None:
        """The identifier of a row of the dataset, counted from 1; None where it has fewer."""
        query = kept_rows(run_id, stage).with_only_columns(schema.candidates.c.id).offset(row - 1).limit(1)
        with self._database.transaction() as connection:
            return connection.scalar(query)

    def responses(self, run_id: str, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Of candidates with several responses all of these, in the order in which they were drawn, as mappings."""
        with self._database.transaction() as connection:
            return responses_of(connection, run_id, ids)

    def verdicts(self, run_id: str, ids: Sequence[str]) -> dict[str, Verdict]:
        """Verdicts by candidate."""
        with self._database.transaction() as connection:
            return verdicts_of(connection, run_id, ids)

    def find(self, run_id: str, id: str) -> tuple[StoredCandidate, Verdict | None] | Instruction | None:
        """A candidate with its verdict, or a seed, by its identifier."""
        table = schema.candidates
        with self._database.transaction() as connection:
            row = (
                connection.execute(select(*COLUMNS).where(table.c.run_id == run_id, table.c.id == id))
                .mappings()
                .first()
            )
            if row is None:
                return instructions_of(connection, run_id, [id]).get(id)
            return assemble(connection, run_id, [row])[0], verdicts_of(connection, run_id, [id]).get(id)

    def children(self, run_id: str, parent_id: str) -> list[tuple[StoredCandidate, Verdict | None]]:
        """All candidates that were made from `parent_id`, with their verdicts, in order of round."""
        table = schema.candidates
        query = select(*COLUMNS).where(table.c.run_id == run_id, table.c.parent_id == parent_id)
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(table.c.round, table.c.position)).mappings().all()
            verdicts = verdicts_of(connection, run_id, [row["id"] for row in rows])
            stored = assemble(connection, run_id, rows)
        return [(item, verdicts.get(item.candidate.id)) for item in stored]

    def ids_beginning_with(self, run_id: str, prefix: str) -> list[str]:
        """Identifiers of candidates and seeds that begin with `prefix`; of many, a few."""
        found: list[str] = []
        with self._database.transaction() as connection:
            for table in (schema.candidates, schema.instructions):
                query = select(table.c.id).where(table.c.run_id == run_id, table.c.id.startswith(prefix)).limit(3)
                found += [id for id in connection.scalars(query) if id not in found]
        return found

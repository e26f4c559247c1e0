"""Candidates on their way: written by the evolver, answered and scored, judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Protocol

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    exists,
    func,
    literal,
    select,
    update,
)

from evoagent.ledger import schema
from evoagent.ledger.assembling import (
    COLUMNS,
    JUDGED,
    assemble,
    kept_rows,
)
from evoagent.ledger.database import PAGE, Database
from evoagent.ledger.rows import (
    Critique,
    NewCandidate,
    StoredCandidate,
    candidate_row,
    response_rows,
    score_rows,
)
from evoagent.records import Candidate, Score, Verdict


class Verdicts(Protocol):
    """Verdicts by candidate: a mapping, or whatever else gives them one after another."""

    def items(self) -> Iterable[tuple[str, Verdict]]:
        """Ids and verdicts."""


class Candidates:
    """Reads and writes candidates, their scores and verdicts. What is recorded stays as it is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recorded(self, run_id: str, round: int, positions: Sequence[int]) -> set[int]:
        """Those of `positions`, a page of them at the most, that have a candidate in `round` already."""
        table = schema.candidates
        query = select(table.c.position).where(table.c.run_id == run_id, table.c.round == round)
        with self._database.transaction() as connection:
            return set(connection.scalars(query.where(table.c.position.in_(positions))))

    def add(self, run_id: str, rows: Sequence[NewCandidate]) -> None:
        """Record candidates in one transaction; those recorded before stay as they are."""
        with self._database.transaction() as connection:
            self._database.insert(connection, schema.candidates, [candidate_row(run_id, row) for row in rows])

    def page(
        self, run_id: str, round: int, after: int = -1, limit: int = PAGE, *, undecided: bool = False
    ) -> list[StoredCandidate]:
        """A page of the candidates of `round` in order of position, from behind position `after`."""
        table = schema.candidates
        query = select(*COLUMNS).where(table.c.run_id == run_id, table.c.round == round, table.c.position > after)
        if undecided:
            query = query.where(~exists().where(JUDGED))
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(table.c.position).limit(limit)).mappings().all()
            return assemble(connection, run_id, rows)

    def count(self, run_id: str, round: int, *, undecided: bool = False) -> int:
        """How many candidates `round` has, or how many of them have no verdict."""
        table, verdict = schema.candidates, schema.verdicts
        count = select(func.count()).where(table.c.run_id == run_id, table.c.round == round)
        with self._database.transaction() as connection:
            found = connection.scalar(count) or 0
            if undecided:
                judged = select(func.count()).where(verdict.c.run_id == run_id, verdict.c.round == round)
                found -= connection.scalar(judged) or 0
        return found

    def by_id(self, run_id: str, ids: Sequence[str]) -> list[Candidate]:
        """Candidates in the order of `ids`, each of which there is."""
        table = schema.candidates
        found: dict[str, Candidate] = {}
        with self._database.transaction() as connection:
            for start in range(0, len(ids), PAGE):
                query = select(*COLUMNS).where(table.c.run_id == run_id, table.c.id.in_(ids[start : start + PAGE]))
                rows = connection.execute(query).mappings().all()
                found |= {row.candidate.id: row.candidate for row in assemble(connection, run_id, rows)}
        return [found[id] for id in ids]

    def save_critiques(self, run_id: str, round: int, critiques: Sequence[Critique]) -> None:
        """Record responses, scores and screening verdicts in one transaction."""
        table = schema.candidates
        answered = [
            {
                "key": critique.candidate_id,
                "response": critique.response,
                "response_finish_reason": critique.response_finish_reason,
                "responder": critique.responder,
                "data": dict(critique.data),
            }
            for critique in critiques
            if critique.response is not None
        ]
        with self._database.transaction() as connection:
            if answered:
                statement = update(table).where(table.c.run_id == run_id, table.c.id == bindparam("key"))
                connection.execute(
                    statement.values({name: bindparam(name) for name in answered[0] if name != "key"}), answered
                )
            rows = [row for critique in critiques for row in score_rows(run_id, critique.candidate_id, critique.scores)]
            self._database.insert(connection, schema.scores, rows)
            rows = [row for item in critiques for row in response_rows(run_id, item.candidate_id, item.responses)]
            self._database.insert(connection, schema.responses, rows)
            screened = {critique.candidate_id: critique.verdict for critique in critiques if critique.verdict}
            self._insert_verdicts(connection, run_id, round, screened)

    def save_scores(self, run_id: str, scores: Mapping[str, Mapping[str, Score]]) -> None:
        """Record scores by candidate and scorer, and what they attach to the candidates."""
        table = schema.candidates
        rows = [row for id, by_scorer in scores.items() for row in score_rows(run_id, id, by_scorer)]
        with self._database.transaction() as connection:
            self._database.insert(connection, schema.scores, rows)
            for id, by_scorer in scores.items():
                if any(score.data for score in by_scorer.values()):
                    here = and_(table.c.run_id == run_id, table.c.id == id)
                    data = dict(connection.scalar(select(table.c.data).where(here)) or {})
                    for score in by_scorer.values():
                        data |= score.data
                    connection.execute(update(table).where(here).values(data=data))

    def save_verdicts(self, run_id: str, round: int, verdicts: Mapping[str, Verdict]) -> None:
        """Record verdicts before the round is finished; a candidate that has one keeps it."""
        with self._database.transaction() as connection:
            self._insert_verdicts(connection, run_id, round, verdicts)

    def keep_undecided(self, run_id: str, round: int) -> None:
        """Keep every candidate of `round` that has no verdict, without a look at any."""
        table, verdict = schema.candidates, schema.verdicts
        rows = select(table.c.run_id, table.c.id, table.c.round, literal(True), literal(""), literal(""))
        rows = rows.where(table.c.run_id == run_id, table.c.round == round, ~exists().where(JUDGED))
        columns = ["run_id", "candidate_id", "round", "kept", "rule", "detail"]
        with self._database.transaction() as connection:
            connection.execute(verdict.insert().from_select(columns, rows))

    def finish_round(self, run_id: str, round: int, verdicts: Verdicts) -> None:
        """Record the round's last verdicts and its survivors: all of it, or nothing. No row leaves the database."""
        table = schema.candidates
        copied = [
            "run_id",
            "id",
            "round",
            "position",
            "stage",
            "operator",
            "seed_id",
            "parent_ids",
            "instruction",
            "input",
            "data",
        ]
        columns = [*(table.c[name] for name in copied), func.coalesce(table.c.response, "")]
        survivors = kept_rows(run_id).where(table.c.round == round).with_only_columns(*columns)
        with self._database.transaction() as connection:
            self._insert_verdicts(connection, run_id, round, verdicts)
            self._database.insert_from(connection, schema.instructions, [*copied, "output"], survivors)

    def _insert_verdicts(self, connection: Connection, run_id: str, round: int, verdicts: Verdicts) -> None:
        items = iter(verdicts.items())
        while page := list(islice(items, PAGE)):
            rows = [
                {
                    "run_id": run_id,
                    "candidate_id": id,
                    "round": round,
                    "kept": verdict.kept,
                    "rule": verdict.rule,
                    "figure": verdict.figure,
                    "threshold": verdict.threshold,
                    "detail": verdict.detail,
                }
                for id, verdict in page
            ]
            self._database.insert(connection, schema.verdicts, rows)

"""Candidates put together from several tables, and scores, responses and verdicts by candidate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    and_,
    select,
)

from evoagent.ledger import schema
from evoagent.ledger.database import PAGE
from evoagent.ledger.rows import (
    StoredCandidate,
    instruction,
    stored,
)
from evoagent.records import Instruction, Score, Verdict

PLACE = ["run_id", "round", "position", "instruction_id"]

COLUMNS = [column for column in schema.candidates.c if column.name != "raw"]  # completions are long, and for people

JUDGED = and_(
    schema.verdicts.c.run_id == schema.candidates.c.run_id, schema.verdicts.c.candidate_id == schema.candidates.c.id
)


def kept_rows(run_id: str, stage: str | None = None) -> Select[Any]:
    """The rows of the candidates that survived, in order of round and position; of one stage, or of all."""
    table, verdict = schema.candidates, schema.verdicts
    query = (
        select(*COLUMNS)
        .select_from(table.join(verdict, JUDGED))
        .where(table.c.run_id == run_id, verdict.c.kept)
        .order_by(table.c.round, table.c.position)
    )
    return query if stage is None else query.where(table.c.stage == stage)


def assemble(connection: Connection, run_id: str, rows: Sequence[RowMapping]) -> list[StoredCandidate]:
    """Candidates with their parents and scores, in the order of `rows`."""
    parents = instructions_of(connection, run_id, {id for row in rows for id in row["parent_ids"]})
    scores = scores_of(connection, run_id, [row["id"] for row in rows])
    return [stored(row, parents, scores.get(row["id"], {})) for row in rows]


def instructions_of(connection: Connection, run_id: str, ids: Iterable[str]) -> dict[str, Instruction]:
    """Members and seeds by identifier."""
    table, wanted = schema.instructions, sorted(ids)
    found: dict[str, Instruction] = {}
    for start in range(0, len(wanted), PAGE):
        query = select(table).where(table.c.run_id == run_id, table.c.id.in_(wanted[start : start + PAGE]))
        found.update({row["id"]: instruction(row) for row in connection.execute(query).mappings()})
    return found


def scores_of(connection: Connection, run_id: str, ids: Sequence[str]) -> dict[str, dict[str, Score]]:
    """Scores by candidate and scorer."""
    table = schema.scores
    found: dict[str, dict[str, Score]] = {}
    for start in range(0, len(ids), PAGE):
        query = select(table).where(table.c.run_id == run_id, table.c.candidate_id.in_(ids[start : start + PAGE]))
        for row in connection.execute(query.order_by(table.c.scorer)).mappings():
            score = Score(row["value"], row["reason"], row["details"])
            found.setdefault(row["candidate_id"], {})[row["scorer"]] = score
    return found


def responses_of(connection: Connection, run_id: str, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Of candidates with several responses all of these, by candidate, in the order in which they were drawn."""
    table = schema.responses
    found: dict[str, list[dict[str, Any]]] = {}
    for start in range(0, len(ids), PAGE):
        query = select(table).where(table.c.run_id == run_id, table.c.candidate_id.in_(ids[start : start + PAGE]))
        for row in connection.execute(query.order_by(table.c.candidate_id, table.c.number)).mappings():
            shown = {name: row[name] for name in ("response", "finish_reason", "scores", "rank", "kept")}
            found.setdefault(row["candidate_id"], []).append(shown)
    return found


def verdicts_of(connection: Connection, run_id: str, ids: Sequence[str]) -> dict[str, Verdict]:
    """Verdicts by candidate."""
    table = schema.verdicts
    found: dict[str, Verdict] = {}
    for start in range(0, len(ids), PAGE):
        query = select(table).where(table.c.run_id == run_id, table.c.candidate_id.in_(ids[start : start + PAGE]))
        for row in connection.execute(query).mappings():
            verdict = Verdict(row["kept"], row["rule"], row["figure"], row["threshold"], row["detail"])
            found[row["candidate_id"]] = verdict
    return found

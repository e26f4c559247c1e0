"""Who is in the next population: a policy that the database carries out, so that no row leaves it."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import Select, and_, exists, func, literal, select

from evoagent.ledger import schema


class Replacement(Protocol):
    """Decides who is in the population of the next round."""

    def places(self, run_id: str, round: int) -> Select[Any]:
        """Select (run_id, round + 1, position from 0, instruction_id) of the members, once `round` is decided."""
        ...


class ReplaceParents:
    """A survivor takes its parent's place; a parent none of whose candidates survived returns to the pool."""

    def places(self, run_id: str, round: int) -> Select[Any]:
        """In the order of the parents' positions, then of the candidates'."""
        table, place, verdict = schema.candidates, schema.population, schema.verdicts
        judged = exists().where(
            and_(verdict.c.run_id == table.c.run_id, verdict.c.candidate_id == table.c.id),
            verdict.c.kept,
            verdict.c.round == round,
        )
        child = and_(table.c.run_id == place.c.run_id, table.c.parent_id == place.c.instruction_id, judged)
        number = func.row_number().over(order_by=(place.c.position, table.c.position)) - 1
        return (
            select(place.c.run_id, literal(round + 1), number, func.coalesce(table.c.id, place.c.instruction_id))
            .select_from(place.outerjoin(table, child))
            .where(place.c.run_id == run_id, place.c.round == round)
        )

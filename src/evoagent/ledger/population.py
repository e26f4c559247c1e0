"""The population of each round."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    and_,
    func,
    literal,
    select,
)

from evoagent.ledger import schema
from evoagent.ledger.assembling import (
    PLACE,
    kept_rows,
)
from evoagent.ledger.database import PAGE, Database
from evoagent.ledger.replacement import Replacement
from evoagent.ledger.rows import (
    instruction,
)
from evoagent.records import Instruction


class Members:
    """Reads and makes the population of each round."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def size(self, run_id: str, round: int) -> int:
        """How many members the population of `round` has."""
        table = schema.population
        query = select(func.count()).where(table.c.run_id == run_id, table.c.round == round)
        with self._database.transaction() as connection:
            return connection.scalar(query) or 0

    def page(self, run_id: str, round: int, start: int, limit: int) -> list[Instruction]:
        """Members at positions start, start + 1, … of the population of `round`."""
        place, member = schema.population, schema.instructions
        joined = and_(member.c.run_id == place.c.run_id, member.c.id == place.c.instruction_id)
        query = (
            select(member)
            .select_from(place.join(member, joined))
            .where(place.c.run_id == run_id, place.c.round == round)
            .where(place.c.position >= start, place.c.position < start + limit)
            .order_by(place.c.position)
        )
        with self._database.transaction() as connection:
            return [instruction(row) for row in connection.execute(query).mappings()]

    def at(self, run_id: str, round: int, positions: Sequence[int]) -> list[Instruction]:
        """Members at `positions` of the population of `round`, in that order."""
        place, member = schema.population, schema.instructions
        joined = and_(member.c.run_id == place.c.run_id, member.c.id == place.c.instruction_id)
        here = select(place.c.position.label("place"), member).select_from(place.join(member, joined))
        here = here.where(place.c.run_id == run_id, place.c.round == round)
        found: dict[int, Instruction] = {}
        with self._database.transaction() as connection:
            for start in range(0, len(positions), PAGE):
                query = here.where(place.c.position.in_(positions[start : start + PAGE]))
                found |= {row["place"]: instruction(row) for row in connection.execute(query).mappings()}
        return [found[position] for position in positions]

    def begin_stage(self, run_id: str, round: int, since: int) -> None:
        """Make what has survived the stage that began with round `since` the population of `round`, the next one's."""
        table, place = schema.candidates, schema.population
        number = func.row_number().over(order_by=(table.c.round, table.c.position)) - 1
        places = kept_rows(run_id).where(table.c.round >= since, table.c.round < round).order_by(None)
        places = places.with_only_columns(table.c.run_id, literal(round), number, table.c.id)
        with self._database.transaction() as connection:
            # A round that was planned before its stage came to its end: a killed run may have left it.
            connection.execute(place.delete().where(place.c.run_id == run_id, place.c.round == round))
            self._database.insert_from(connection, place, PLACE, places)

    def replace(self, run_id: str, round: int, replacement: Replacement) -> None:
        """Make the population of the round after `round`, in which the stage goes on."""
        with self._database.transaction() as connection:
            places = replacement.places(run_id, round)
            self._database.insert_from(connection, schema.population, PLACE, places)

"""Columns of a run's candidates as arrays, and their rows a page at a time. Synchronous, like the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, Select, exists, select

from evoagent.ledger import schema
from evoagent.ledger.assembling import JUDGED
from evoagent.ledger.database import PAGE
from evoagent.ledger.store import Store
from evoagent.records import Candidate, join_prompt

ID = np.dtype("U16")


class Views:
    """Reads the candidates of one run."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id = store, run_id

    def undecided(self, round: int) -> NDArray[np.str_]:
        """Ids of the candidates of `round` that have no verdict, in order of position."""
        table = schema.candidates
        query = select(table.c.id).where(table.c.run_id == self._run_id, table.c.round == round)
        return self._ids(query.where(~exists().where(JUDGED)).order_by(table.c.position))

    def survivors(self, since: int = 1) -> NDArray[np.str_]:
        """Ids of all survivors of round `since` and later, in order of round and position."""
        table, verdict = schema.candidates, schema.verdicts
        query = select(table.c.id).select_from(table.join(verdict, JUDGED))
        query = query.where(table.c.run_id == self._run_id, table.c.round >= since, verdict.c.kept)
        return self._ids(query.order_by(table.c.round, table.c.position))

    def _ids(self, query: Select[Any]) -> NDArray[np.str_]:
        with self._store.database.transaction() as connection:
            # Straight into the array: a list of as many texts would take twice as much.
            return np.fromiter((id for (id,) in connection.execute(query)), ID)

    def rows(self, ids: NDArray[np.str_]) -> list[Candidate]:
        """The candidates with these ids, in order."""
        return self._store.candidates.by_id(self._run_id, ids.tolist())

    def scores(self, ids: NDArray[np.str_], name: str) -> NDArray[np.float64]:
        """Values of scorer `name`; NaN where there is none."""
        table = schema.scores
        found = np.full(len(ids), np.nan)
        query = select(table.c.candidate_id, table.c.value).where(table.c.run_id == self._run_id)
        query = query.where(table.c.scorer == name, table.c.value.is_not(None))
        for start, values in self._paged(query, table.c.candidate_id, ids):
            for number, id in enumerate(ids[start : start + PAGE].tolist(), start):
                if id in values:
                    found[number] = values[id][1]
        return found

    def parents(self, ids: NDArray[np.str_]) -> tuple[NDArray[np.intp], NDArray[np.str_]]:
        """How many parents each has, and all of their ids one after another."""
        table = schema.candidates
        counts = np.zeros(len(ids), dtype=np.intp)
        names = [np.empty(0, dtype=ID)]
        query = select(table.c.id, table.c.parent_ids).where(table.c.run_id == self._run_id)
        for start, rows in self._paged(query, table.c.id, ids):
            page = [rows[id][1] for id in ids[start : start + PAGE].tolist()]
            counts[start : start + len(page)] = [len(parents) for parents in page]
            names.append(np.array([name for parents in page for name in parents], dtype=ID))
        return counts, np.concatenate(names)

    def texts(self, ids: NDArray[np.str_], which: str) -> list[str]:
        """The prompt text, instruction or response of each, which should be a page at the most."""
        table = schema.candidates
        query = select(table.c.id, table.c.instruction, table.c.input, table.c.response)
        found: list[str] = []
        for start, rows in self._paged(query.where(table.c.run_id == self._run_id), table.c.id, ids):
            for id in ids[start : start + PAGE].tolist():
                _, instruction, input, response = rows[id]
                whole = join_prompt(instruction, input)
                found.append({"prompt_text": whole, "instruction": instruction, "response": response or ""}[which])
        return found

    def _paged(
        self, query: Select[Any], key: Column[str], ids: NDArray[np.str_]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows by their first column, for as many ids at a time as a query takes."""
        for start in range(0, len(ids), PAGE):
            page = query.where(key.in_(ids[start : start + PAGE].tolist()))
            with self._store.database.transaction() as connection:
                yield start, {row[0]: row for row in connection.execute(page)}


def text_key(text: str) -> int:
    """The 64-bit key of a text in a file of vectors."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")

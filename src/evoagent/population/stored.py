"""Populations in the ledger, with their vectors in a file beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evoagent.errors import LedgerError
from evoagent.ledger.store import Store
from evoagent.ledger.vector_file import VectorFile
from evoagent.ledger.views import Views, text_key
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.roles import Models
from evoagent.models.waiting import asking
from evoagent.population.base import Population, Text, Vectors, numbers
from evoagent.population.embedding import IN_FLIGHT, embed_units
from evoagent.population.ragged import Ragged
from evoagent.records import Candidate, content_id

P = ParamSpec("P")
R = TypeVar("R")


class RunPopulations:
    """The populations of one run: who is still undecided, and who has survived."""

    def __init__(self, store: Store, run_id: str, directory: Path, dispatcher: Dispatcher) -> None:
        self.views = Views(store, run_id)
        self._database, self._directory, self._dispatcher = store.database, directory, dispatcher
        self._files: dict[str, VectorFile] = {}

    async def undecided(self, round: int) -> Population:
        """The candidates of `round` that have no verdict yet."""
        return Stored(self, await self.read(self.views.undecided, round))

    async def survivors(self, since: int = 1) -> Population:
        """All survivors so far of round `since` and later."""
        return Stored(self, await self.read(self.views.survivors, since))

    async def read(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` in the ledger's thread; a plugin that waits for it is not idle."""
        with asking():
            try:
                return await self._database.run(function, *args, **kwargs)
            except LedgerError as error:
                self._dispatcher.fatal = self._dispatcher.fatal or error  # no plugin can hide it
                raise

    async def vectors(self, ids: NDArray[np.str_], models: Models, text: Text) -> Vectors:
        """Vectors of the members with these ids; those that the file lacks are asked for and added to it."""
        file = await self.read(self._file, self._dispatcher.identity("embedder"))
        rows = np.full(len(ids), -1, dtype=np.int64)
        failed: dict[int, str] = {}
        for start in range(0, len(ids), IN_FLIGHT):
            page = slice(start, start + IN_FLIGHT)
            keys, rows[page], lacking = await self.read(self._look, file, ids[page], text)
            if not lacking:
                continue
            found = await embed_units(list(lacking.values()), models)
            sound = [number for number in range(len(lacking)) if number not in found.failed]
            new = np.fromiter(lacking, np.uint64, len(lacking))
            if sound:
                await self.read(file.append, new[sound], found.matrix[sound])
            rows[page] = await self.read(file.find, keys)
            why = {int(new[number]): reason for number, reason in found.failed.items()}
            failed |= {start + n: why[int(keys[n])] for n in np.flatnonzero(rows[page] < 0).tolist()}
        return Vectors((len(ids), file.dimensions), lambda numbers: file.read(rows[numbers]), failed)

    def _file(self, identity: str) -> VectorFile:
        if identity not in self._files:
            self._files[identity] = VectorFile(self._directory / f"vectors-{content_id(identity)}.bin")
        return self._files[identity]

    def _look(
        self, file: VectorFile, ids: NDArray[np.str_], text: Text
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64], dict[int, str]]:
        """Keys of the texts, their rows in the file, and the texts that it lacks, by key."""
        texts = self.views.texts(ids, text)
        keys = np.fromiter(map(text_key, texts), np.uint64, len(texts))
        rows = file.find(keys)
        return keys, rows, {int(keys[number]): texts[number] for number in np.flatnonzero(rows < 0).tolist()}


class Stored(Population):
    """Members that the ledger holds; only their ids are here."""

    def __init__(self, run: RunPopulations, ids: NDArray[np.str_]) -> None:
        self._run, self._ids = run, ids
        self._ids.flags.writeable = False

    @property
    def ids(self) -> NDArray[np.str_]:
        """As they were when the population was made."""
        return self._ids

    async def scores(self, name: str) -> NDArray[np.float64]:
        """By one query a page."""
        return await self._run.read(self._run.views.scores, self._ids, name)

    async def vectors(self, models: Models, text: Text = "prompt_text") -> Vectors:
        """Kept in `vectors-EMBEDDER.bin` in the run's directory, by what the text says."""
        return await self._run.vectors(self._ids, models, text)

    async def rows(self, numbers: ArrayLike) -> list[Candidate]:
        """Read from the ledger, with what scorers have said by now."""
        return await self._run.read(self._run.views.rows, self._ids[np.asarray(numbers, dtype=np.intp)])

    async def parents(self) -> Ragged[np.str_]:
        """As the ledger has them."""
        return Ragged.of(*await self._run.read(self._run.views.parents, self._ids))

    def where(self, keep: ArrayLike) -> Population:
        """Fewer ids."""
        return Stored(self._run, self._ids[numbers(keep, len(self))])

    def __add__(self, other: Population) -> Population:
        if not isinstance(other, Stored) or other._run is not self._run:
            return NotImplemented
        return Stored(self._run, np.concatenate([self._ids, other._ids]))

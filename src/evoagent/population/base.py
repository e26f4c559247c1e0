"""The view of a population that plugins are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evoagent.models.roles import Models
from evoagent.population.ragged import Ragged
from evoagent.records import Candidate

PAGE = 500
"""Members that are Python objects at once, where nothing else is asked for."""

Text = Literal["prompt_text", "instruction", "response"]
"""Which of a member's texts is embedded."""


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Unit vectors of a population's members, in order. Rows are read when they are asked for, as a float32 array.

    `vectors[100:200]` and `vectors[numbers]` have shape (rows, dimensions); `np.asarray(vectors)` holds all at once.

    Attributes:
        shape: (members, dimensions).
        failed: why a text has no vector, by the number of its member; its row is zero.
    """

    shape: tuple[int, int]
    _read: Callable[[NDArray[np.intp]], NDArray[np.float32]]
    failed: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        return self._read(np.arange(len(self))[rows])

    def at(self, rows: NDArray[np.intp]) -> Vectors:
        """The vectors of these members, without reading them; `failed` is left behind."""
        return Vectors((len(rows), self.shape[1]), lambda numbers: self._read(rows[numbers]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        found = self[:]
        return found if dtype is None else found.astype(dtype, copy=False)


def numbers(keep: ArrayLike, count: int) -> NDArray[np.intp]:
    """The numbers that a mask of shape (count,), or an array of numbers, picks."""
    picked = np.asarray(keep)
    found: NDArray[np.intp] = np.arange(count)[picked if picked.dtype == np.bool_ else picked.astype(np.intp)]
    return found


class Population(ABC):
    """Members of a run, in order of round and position, to be read only.

    However many there are, they are never Python objects all at once: figures come as arrays, and rows in pages.
    """

    @staticmethod
    def of(candidates: Iterable[Candidate]) -> Population:
        """A population in memory, for tests and small things."""
        from evoagent.population.listed import Listed

        return Listed(tuple(candidates))

    @property
    @abstractmethod
    def ids(self) -> NDArray[np.str_]:
        """The members' ids, shape (n,)."""

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    async def scores(self, name: str) -> NDArray[np.float64]:
        """What scorer `name` has given, shape (n,); NaN where there is no score. The reason is in the member's row."""

    @abstractmethod
    async def vectors(self, models: Models, text: Text = "prompt_text") -> Vectors:
        """Embed one text of each member; what has been embedded before comes from a file of the run's directory.

        A text that the embedder refuses is among the `failed`, and the others go on.
        """

    @abstractmethod
    async def rows(self, numbers: ArrayLike) -> list[Candidate]:
        """The members at these places, in the order given. For some: to read all, iterate."""

    @abstractmethod
    async def parents(self) -> Ragged[np.str_]:
        """The ids of each member's parents."""

    @abstractmethod
    def where(self, keep: ArrayLike) -> Population:
        """The members that a mask of shape (n,), or an array of their numbers, picks."""

    @abstractmethod
    def __add__(self, other: Population) -> Population:
        """These members, and those of `other`, which is of the same run, behind them."""

    async def pages(self, size: int = PAGE) -> AsyncIterator[list[Candidate]]:
        """All members in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield await self.rows(np.arange(start, min(start + size, len(self))))

    async def __aiter__(self) -> AsyncIterator[Candidate]:
        async for page in self.pages():
            for member in page:
                yield member

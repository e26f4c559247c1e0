"""Rows of different lengths in two arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S", bound=np.generic)


class Pairs(NamedTuple):
    """Values of some rows, and which of these rows, counted from 0, each belongs to; both of shape (values,)."""

    owners: NDArray[np.intp]
    values: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Ragged(Generic[S]):
    """Row i is `values[offsets[i] : offsets[i + 1]]`; offsets have shape (rows + 1,)."""

    offsets: NDArray[np.intp]
    values: NDArray[S]

    @classmethod
    def of(cls, counts: NDArray[np.intp], values: NDArray[S]) -> Ragged[S]:
        """Rows of `counts` values each."""
        return cls(np.concatenate([[0], np.cumsum(counts)]).astype(np.intp), values)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[S]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def pairs(self, rows: NDArray[np.intp]) -> Pairs:
        """The values of `rows`, in order."""
        counts = self.offsets[rows + 1] - self.offsets[rows]
        owners = np.repeat(np.arange(len(rows)), counts)
        ends = np.cumsum(counts)
        within = np.arange(len(owners)) - np.repeat(ends - counts, counts)
        return Pairs(owners, self.values[self.offsets[rows][owners] + within])

"""A pyribs archive of rows × difficulty, and what becomes of those who would enter it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evoagent_map_elites.config import GridConfig

if TYPE_CHECKING:
    from ribs.archives import AddStatus


BLOCK = 4096
"""Members whose cells are reckoned at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where members stand in the grid, and how good they are: arrays of shape (members,).

    Attributes:
        row: -1 for a member that has no place.
        objective: turned so that high is better.
    """

    row: NDArray[np.intp]
    difficulty: NDArray[np.float64]
    objective: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Standing:
    """What the archive says of one that would enter.

    Attributes:
        status: pyribs' own: NEW for a free place, IMPROVE_EXISTING over the weakest elite of a full cell, or NOT_ADDED.
        cell: the cell in words.
        rival: number of the weakest elite of the full cell, and `threshold` its objective; None for a free place.
    """

    status: AddStatus
    cell: str
    rival: int | None = None
    threshold: float | None = None


class Elites:
    """The elites of a grid of `rows` × `config.bins` cells, each with `config.per_cell` places.

    A `GridArchive` (Mouret and Clune, "Illuminating search spaces by mapping elites", arXiv 1504.04909) whose third
    axis is the place within the cell.
    """

    def __init__(self, rows: Sequence[str], config: GridConfig) -> None:
        from ribs.archives import GridArchive

        self._rows, self._config = rows, config
        self._archive = GridArchive(
            solution_dim=(),  # the number of a member
            dims=[len(rows), config.bins, config.per_cell],
            ranges=[(0, len(rows)), (config.low, config.high), (0, config.per_cell)],
            epsilon=1e-9 * (config.high - config.low),
            qd_score_offset=config.offset,
            solution_dtype=np.int64,
            objective_dtype=np.float64,
            measures_dtype=np.float64,
        )

    def add_all(self, places: Places, order: NDArray[np.intp]) -> NDArray[np.object_]:
        """Let members enter, by number, in `order`: of falling objective, so that whom a cell refuses closes it.

        Returns:
            Their standings, shape (members,); None for those that are not in `order`.
        """
        from ribs.archives import AddStatus

        standings = np.full(len(places.row), None, dtype=np.object_)
        closed: dict[tuple[int, int], Standing] = {}
        for start in range(0, len(order), BLOCK):
            numbers = order[start : start + BLOCK]
            for number, cell in zip(numbers.tolist(), self._cells(places, numbers), strict=True):
                standing = closed.get(cell) or self._add(number, places, cell)
                if standing.status == AddStatus.NOT_ADDED:
                    closed[cell] = standing
                standings[number] = standing
        return standings

    def _cells(self, places: Places, numbers: NDArray[np.intp]) -> list[tuple[int, int]]:
        """Row and bin of each place."""
        indices = self._archive.index_of([self._measures(places, number, 0) for number in numbers.tolist()])
        return [(int(row), int(bin)) for row, bin, _ in self._archive.int_to_grid_index(indices)]

    def _measures(self, places: Places, number: int, slot: int) -> list[float]:
        # pyribs casts to int32 before it clips, so a value far beyond the range would end at the wrong end.
        difficulty = min(max(float(places.difficulty[number]), self._config.low), self._config.high)
        return [int(places.row[number]) + 0.5, difficulty, slot + 0.5]

    def _add(self, number: int, places: Places, cell: tuple[int, int]) -> Standing:
        from ribs.archives import AddStatus

        held, objective = [], float(places.objective[number])
        for slot in range(self._config.per_cell):
            occupied, elite = self._archive.retrieve_single(self._measures(places, number, slot))
            if not occupied:
                self._archive.add_single(number, objective, self._measures(places, number, slot))
                return Standing(AddStatus.NEW, self._name(cell))
            held.append((float(elite["objective"]), -slot, int(elite["solution"])))
        threshold, slot, rival = min(held)
        found = self._archive.add_single(number, objective, self._measures(places, number, -slot))
        return Standing(AddStatus(int(found["status"])), self._name(cell), rival, threshold)

    def _name(self, cell: tuple[int, int]) -> str:
        low, high = self._archive.boundaries[1][cell[1] : cell[1] + 2]
        return f"{self._rows[cell[0]]} × {self._config.difficulty} {low:g}–{high:g}"

    def figures(self) -> dict[str, float]:
        """`coverage`, `qd_score`, `elites` and, where there is one, `best` (as turned as objectives are)."""
        stats = self._archive.stats
        filled = {int(index) // self._config.per_cell for index in self._archive.data("index")}
        figures = {
            "coverage": len(filled) / (len(self._rows) * self._config.bins),
            "qd_score": float(stats.qd_score),
            "elites": float(stats.num_elites),
        }
        return figures if stats.obj_max is None else figures | {"best": float(stats.obj_max)}

"""The selectors: a candidate survives if its cell is empty, or if it is better than the cell's elite."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evoagent import Candidate, ConfigError, Models, Population, RequestError, Selector, Verdict
from evoagent_map_elites.archive import Elites, Places, Standing
from evoagent_map_elites.config import GridConfig, MapElitesConfig, MapElitesTopicsConfig
from evoagent_map_elites.topics import lead, nearest

LABEL = 40
"""Characters of a topic's text in the name of a cell."""

PAGE = 500
"""Verdicts that are made at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The rows of the grid, and the row of each member, shape (members,); -1 where it has none, with the reason."""

    rows: Sequence[str]
    row_of: NDArray[np.intp]
    reasons: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Members in their places, and the order in which they enter, best first."""

    layout: Layout
    places: Places
    order: NDArray[np.intp]


class GridSelector(Selector):
    """MAP-Elites over a grid of rows × difficulty.

    Nothing is kept between calls: the archive is made anew of the survivors, which all stay in the dataset, also those
    that a better one has replaced as elite. The candidates of a round enter with the best first, so that of several in
    one cell only the best survive; of equals the one with the lower id.
    """

    config: GridConfig

    @abstractmethod
    async def lay_out(self, pool: Population, order: NDArray[np.intp], rounds: Rounds, models: Models) -> Layout:
        """Rows for the members of the pool that have their scores, by number, in `order`."""

    def trait(self, member: Candidate) -> str:
        """What the rows tell members apart by, where that is a word of the member's own."""
        return ""

    async def select(self, candidates: Population, survivors: Population, models: Models) -> AsyncIterator[Verdict]:
        """The figure is the objective, the threshold that of the elite which it was held against."""
        pool, first = survivors + candidates, len(survivors)
        grid = await self._place(pool, models)
        standings = await asyncio.to_thread(self._stand, grid, first)
        for start in range(first, len(pool), PAGE):
            numbers = np.arange(start, min(start + PAGE, len(pool)))
            reasons = await self._reasons(pool, grid, numbers[grid.places.row[numbers] < 0])
            for number in numbers.tolist():
                if number in reasons:
                    yield Verdict(self.config.missing == "keep", self.name, detail=reasons[number])
                else:
                    yield self._decide(standings[number], self._sign * float(grid.places.objective[number]), pool)

    async def measure(self, survivors: Population, models: Models) -> Mapping[str, float]:
        """Figures of the archive that all survivors make; exact.

        `coverage`: share of the cells that are filled. `elites`: how many. `best`: the best objective. `qd_score`: the
        sum over elites of objective - offset (Pugh et al., "Quality Diversity", 2016), where an objective of which low
        is better counts as its negative.
        """
        return await asyncio.to_thread(self._measure, await self._place(survivors, models))

    def _measure(self, grid: Grid) -> dict[str, float]:
        if not grid.layout.rows:
            return {"coverage": 0.0, "qd_score": 0.0, "elites": 0.0}
        elites = Elites(grid.layout.rows, self.config)
        elites.add_all(grid.places, grid.order)
        figures = elites.figures()
        return figures | {"best": self._sign * figures["best"]} if "best" in figures else figures

    def _stand(self, grid: Grid, first: int) -> NDArray[np.object_]:
        """The standings of the candidates, which are the members from `first` on."""
        if not grid.layout.rows:
            return np.full(len(grid.places.row), None, dtype=np.object_)
        elites = Elites(grid.layout.rows, self.config)
        elites.add_all(grid.places, grid.order[grid.order < first])
        return elites.add_all(grid.places, grid.order[grid.order >= first])

    def _decide(self, standing: Standing, figure: float, pool: Population) -> Verdict:
        from ribs.archives import AddStatus

        if standing.rival is None or standing.threshold is None:
            return Verdict(True, self.name, figure, detail=f"new in cell {standing.cell}")
        threshold, rival = self._sign * standing.threshold, pool.ids[standing.rival]
        if standing.status == AddStatus.NOT_ADDED:
            better = "a better one" if standing.threshold > self._sign * figure else "one as good"
            detail = f"cell {standing.cell} is held by {better}, {rival}"
            return Verdict(False, self.name, figure, threshold, detail)
        return Verdict(True, self.name, figure, threshold, f"better than {rival} in cell {standing.cell}")

    async def _place(self, pool: Population, models: Models) -> Grid:
        objective = self._sign * await pool.scores(self.config.objective)
        difficulty = await pool.scores(self.config.difficulty)
        rounds = await self._read(pool)
        scored = np.flatnonzero(~np.isnan(objective) & ~np.isnan(difficulty))
        by_round = _best_first(scored, pool.ids, rounds.numbers, objective, by_round=True)
        layout = await self.lay_out(pool, by_round, rounds, models)
        placed = np.flatnonzero(layout.row_of >= 0)
        order = _best_first(placed, pool.ids, rounds.numbers, objective)
        return Grid(layout, Places(layout.row_of, difficulty, objective), order)

    async def _read(self, pool: Population) -> Rounds:
        numbers, kinds = np.zeros(len(pool), dtype=np.intp), np.zeros(len(pool), dtype=np.intp)
        names: dict[str, int] = {}
        start = 0
        async for page in pool.pages():
            end = start + len(page)
            numbers[start:end] = [member.round for member in page]
            kinds[start:end] = [names.setdefault(self.trait(member), len(names)) for member in page]
            start = end
        return Rounds(numbers, kinds, list(names))

    async def _reasons(self, pool: Population, grid: Grid, numbers: NDArray[np.intp]) -> dict[int, str]:
        """Why these members have no place."""
        reasons = {number: grid.layout.reasons[number] for number in numbers.tolist() if number in grid.layout.reasons}
        lacking = np.array([number for number in numbers.tolist() if number not in reasons], dtype=np.intp)
        for number, member in zip(lacking.tolist(), await pool.rows(lacking), strict=True):
            lost = np.isnan(grid.places.objective[number])
            reasons[number] = _why(member, self.config.objective if lost else self.config.difficulty)
        return reasons

    @property
    def _sign(self) -> float:
        return 1.0 if self.config.direction == "descending" else -1.0


@dataclass(frozen=True, slots=True, eq=False)
class Rounds:
    """The round of each member and its kind, as its place in `names`; both of shape (members,)."""

    numbers: NDArray[np.intp]
    kinds: NDArray[np.intp]
    names: Sequence[str]


class MapElites(GridSelector):
    """the best of each operator at each difficulty (MAP-Elites)

    Rows are operators, or their families.
    """

    name = "map-elites"
    Config = MapElitesConfig
    config: MapElitesConfig

    def trait(self, member: Candidate) -> str:
        """The operator or the family."""
        return str(getattr(member, self.config.rows))

    async def lay_out(self, pool: Population, order: NDArray[np.intp], rounds: Rounds, models: Models) -> Layout:
        """A row for each of the categories, or for each that the pool shows, by name."""
        shown = {rounds.names[kind] for kind in np.unique(rounds.kinds[order])}
        rows = self.config.categories or sorted(shown)
        places = {name: row for row, name in enumerate(rows)}
        of_kind = np.array([places.get(name, -1) for name in rounds.names], dtype=np.intp)
        row_of = np.full(len(pool), -1, dtype=np.intp)
        row_of[order] = of_kind[rounds.kinds[order]]
        why = {
            number: f"{self.config.rows} `{_label(rounds.names[rounds.kinds[number]])}` is not among `categories`"
            for number in order[row_of[order] < 0].tolist()
        }
        return Layout([_label(name) for name in rows], row_of, why)


class MapElitesTopics(GridSelector):
    """the best of each topic at each difficulty (MAP-Elites)

    Rows are topics: of given texts, or of the first instructions that were unlike all before them. A founder of a
    topic is the first in its cell and so survives: founders are found again among the survivors, in the same order (by
    round, then the best first), by any process that goes on with the run.
    """

    name = "map-elites-topics"
    needs = ("embedder.embed",)
    Config = MapElitesTopicsConfig
    config: MapElitesTopicsConfig

    async def lay_out(self, pool: Population, order: NDArray[np.intp], rounds: Rounds, models: Models) -> Layout:
        """A row for each topic."""
        vectors = await pool.vectors(models)
        reasons = {number: f"no embedding: {why}" for number, why in vectors.failed.items()}
        row_of = np.full(len(pool), -1, dtype=np.intp)
        known = order[~np.isin(order, list(reasons))]
        if not len(known):
            return Layout(self._rows([]), row_of, reasons)
        matrix = vectors.at(known)
        if self.config.centroids is None:
            topics, leaders = await asyncio.to_thread(lead, matrix, self.config.topics, self.config.similarity)
            rows = self._rows([founder.instruction for founder in await pool.rows(known[leaders])])
        else:
            centroids = await self._centroids(models)
            topics, rows = await asyncio.to_thread(nearest, matrix, centroids), self._rows(self.config.centroids)
        row_of[known] = topics
        return Layout(rows, row_of, reasons)

    def _rows(self, texts: Sequence[str]) -> list[str]:
        """Names of all topics, of those too that nothing has founded yet: they count in coverage."""
        if self.config.centroids is not None:
            return [f"topic {_label(text)!r}" for text in self.config.centroids]
        names = [f"topic {number} ({_label(text)!r})" for number, text in enumerate(texts, 1)]
        return names + [f"topic {number}" for number in range(len(names) + 1, self.config.topics + 1)]

    async def _centroids(self, models: Models) -> NDArray[np.float32]:
        rows = []
        for text in self.config.centroids or ():
            try:
                rows.append(await models.embedder.embed(text))
            except RequestError as error:
                raise ConfigError(f"{self.name}: the centroid {_label(text)!r} has no embedding: {error}") from error
        return np.stack(rows)


def _best_first(
    members: NDArray[np.intp],
    ids: NDArray[np.str_],
    rounds: NDArray[np.intp],
    objective: NDArray[np.float64],
    *,
    by_round: bool = False,
) -> NDArray[np.intp]:
    """Members by number: of falling objective, equals by round and id; `by_round` puts the rounds one after another."""
    falling, rounds, ids = -objective[members], rounds[members], ids[members]
    # The last key weighs most. numpy lets other threads work while it sorts, unlike `sorted`.
    return members[np.lexsort((ids, falling, rounds) if by_round else (ids, rounds, falling))]


def _why(member: Candidate, name: str) -> str:
    score = member.scores.get(name)
    if score is None:
        return f"no {name}: it was not scored; is it among critic.scorers?"
    return f"no {name}: {score.reason or 'no reason given'}"


def _label(text: str) -> str:
    """The beginning of a text on one line, without what a terminal would take for a command."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 8 * LABEL]).split())
    return line if len(line) <= LABEL else line[: LABEL - 1] + "…"

"""The selectors: a candidate survives if its cell is empty, or if it is better than the cell's elite."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evoagent import Candidate, ConfigError, Models, RequestError, Selector, Verdict
from evoagent_map_elites.archive import Elites, Place, Standing
from evoagent_map_elites.config import GridConfig, MapElitesConfig, MapElitesTopicsConfig
from evoagent_map_elites.topics import lead, nearest

IN_FLIGHT = 1024
"""Texts asked of the embedder at once."""

LABEL = 40
"""Characters of a topic's text in the name of a cell."""

Vectors = Mapping[str, "NDArray[np.float32] | str"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of the grid, and the row of each member by its number in the pool; a text says why there is none."""

    rows: Sequence[str]
    row_of: Mapping[int, int | str]


class GridSelector(Selector):
    """MAP-Elites over a grid of rows × difficulty.

    Nothing is kept between calls: the archive is made anew of the survivors, which all stay in the dataset, also those
    that a better one has replaced as elite. The candidates of a round enter with the best first, so that of several in
    one cell only the best survive; of equals the one with the lower id.
    """

    config: GridConfig

    @abstractmethod
    async def embed(self, pool: Sequence[Candidate], models: Models) -> Vectors:
        """The vectors that the rows need, by text, or why a text has none."""

    @abstractmethod
    def lay_out(self, pool: Sequence[Candidate], order: Sequence[int], vectors: Vectors) -> Layout:
        """Rows for the members of the pool that have their scores, by number, in `order`."""

    async def select(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Verdict]:
        """The figure is the objective, the threshold that of the elite which it was held against."""
        if not candidates:
            return []
        vectors = await self.embed([*survivors, *candidates], models)
        return await asyncio.to_thread(self._select, candidates, survivors, vectors)

    async def measure(self, survivors: Sequence[Candidate], models: Models) -> Mapping[str, float]:
        """Figures of the archive that all survivors make; exact.

        `coverage`: share of the cells that are filled. `elites`: how many. `best`: the best objective. `qd_score`: the
        sum over elites of objective - offset (Pugh et al., "Quality Diversity", 2016), where an objective of which low
        is better counts as its negative.
        """
        vectors = await self.embed(survivors, models)
        return await asyncio.to_thread(self._measure, survivors, vectors)

    def _measure(self, survivors: Sequence[Candidate], vectors: Vectors) -> dict[str, float]:
        places, _, layout = self._place(survivors, vectors)
        if not layout.rows:
            return {"coverage": 0.0, "qd_score": 0.0, "elites": 0.0}
        elites = Elites(layout.rows, self.config)
        elites.add_all(places, _best_first(survivors, {number: place.objective for number, place in places.items()}))
        figures = elites.figures()
        return figures | {"best": self._sign * figures["best"]} if "best" in figures else figures

    def _select(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], vectors: Vectors
    ) -> list[Verdict]:
        pool = [*survivors, *candidates]
        places, reasons, layout = self._place(pool, vectors)
        order = _best_first(pool, {number: place.objective for number, place in places.items()})
        standings: Mapping[int, Standing] = {}
        if places:
            elites = Elites(layout.rows, self.config)
            elites.add_all(places, [number for number in order if number < len(survivors)])
            standings = elites.add_all(places, [number for number in order if number >= len(survivors)])
        return [
            self._decide(standings[number], places[number], pool)
            if number in standings
            else Verdict(self.config.missing == "keep", self.name, detail=reasons[number])
            for number in range(len(survivors), len(pool))
        ]

    def _decide(self, standing: Standing, place: Place, pool: Sequence[Candidate]) -> Verdict:
        from ribs.archives import AddStatus

        figure = self._sign * place.objective
        if standing.rival is None or standing.threshold is None:
            return Verdict(True, self.name, figure, detail=f"new in cell {standing.cell}")
        threshold, rival = self._sign * standing.threshold, pool[standing.rival].id
        if standing.status == AddStatus.NOT_ADDED:
            better = "a better one" if standing.threshold > place.objective else "one as good"
            detail = f"cell {standing.cell} is held by {better}, {rival}"
            return Verdict(False, self.name, figure, threshold, detail)
        return Verdict(True, self.name, figure, threshold, f"better than {rival} in cell {standing.cell}")

    def _place(self, pool: Sequence[Candidate], vectors: Vectors) -> tuple[dict[int, Place], dict[int, str], Layout]:
        """Places of those members that have one, by number, and why the others have none."""
        scored: dict[int, tuple[float, float]] = {}
        reasons: dict[int, str] = {}
        for number, member in enumerate(pool):
            objective, difficulty = (_value(member, name) for name in (self.config.objective, self.config.difficulty))
            if objective is None or difficulty is None:
                reasons[number] = _why(member, self.config.objective if objective is None else self.config.difficulty)
            else:
                scored[number] = (self._sign * objective, difficulty)

        objectives = {number: objective for number, (objective, _) in scored.items()}
        layout = self.lay_out(pool, _best_first(pool, objectives, by_round=True), vectors)
        places: dict[int, Place] = {}
        for number, (objective, difficulty) in scored.items():
            row = layout.row_of[number]
            if isinstance(row, str):
                reasons[number] = row
            else:
                places[number] = Place(row, difficulty, objective)
        return places, reasons, layout

    @property
    def _sign(self) -> float:
        return 1.0 if self.config.direction == "descending" else -1.0


class MapElites(GridSelector):
    """the best of each operator at each difficulty (MAP-Elites)

    Rows are operators, or their families.
    """

    name = "map-elites"
    Config = MapElitesConfig
    config: MapElitesConfig

    async def embed(self, pool: Sequence[Candidate], models: Models) -> Vectors:
        """None are needed."""
        return {}

    def lay_out(self, pool: Sequence[Candidate], order: Sequence[int], vectors: Vectors) -> Layout:
        """A row for each of the categories, or for each that the pool shows, by name."""
        names = {number: getattr(pool[number], self.config.rows) for number in order}
        rows = self.config.categories or sorted(set(names.values()))
        row_of = {name: row for row, name in enumerate(rows)}
        missing = f"{self.config.rows} `{{}}` is not among `categories`"
        return Layout(
            [_label(name) for name in rows],
            {number: row_of.get(name, missing.format(_label(name))) for number, name in names.items()},
        )


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

    async def embed(self, pool: Sequence[Candidate], models: Models) -> Vectors:
        """Vectors of all instructions with their inputs, and of the centroids."""
        texts = list(dict.fromkeys([*(member.prompt_text for member in pool), *(self.config.centroids or ())]))
        vectors: dict[str, NDArray[np.float32] | str] = {}
        for start in range(0, len(texts), IN_FLIGHT):
            chunk = texts[start : start + IN_FLIGHT]
            found = await asyncio.gather(*map(partial(_embed, models), chunk))
            vectors.update(zip(chunk, found, strict=True))
        return vectors

    def lay_out(self, pool: Sequence[Candidate], order: Sequence[int], vectors: Vectors) -> Layout:
        """A row for each topic."""
        row_of: dict[int, int | str] = {}
        known: list[int] = []
        stack: list[NDArray[np.float32]] = []
        for number in order:
            vector = vectors[pool[number].prompt_text]
            if isinstance(vector, str):
                row_of[number] = vector
            else:
                known.append(number)
                stack.append(vector)
        if not known:
            return Layout(self._rows([]), row_of)
        matrix = np.stack(stack)
        if self.config.centroids is None:
            topics, leaders = lead(matrix, self.config.topics, self.config.similarity)
            rows = self._rows([pool[known[row]].instruction for row in leaders])
        else:
            topics, rows = nearest(matrix, self._centroids(vectors)), self._rows(self.config.centroids)
        row_of.update((number, int(topic)) for number, topic in zip(known, topics, strict=True))
        return Layout(rows, row_of)

    def _rows(self, texts: Sequence[str]) -> list[str]:
        """Names of all topics, of those too that nothing has founded yet: they count in coverage."""
        if self.config.centroids is not None:
            return [f"topic {_label(text)!r}" for text in self.config.centroids]
        names = [f"topic {number} ({_label(text)!r})" for number, text in enumerate(texts, 1)]
        return names + [f"topic {number}" for number in range(len(names) + 1, self.config.topics + 1)]

    def _centroids(self, vectors: Vectors) -> NDArray[np.float32]:
        rows = []
        for text in self.config.centroids or ():
            vector = vectors[text]
            if isinstance(vector, str):
                raise ConfigError(f"{self.name}: the centroid {_label(text)!r} has {vector}")
            rows.append(vector)
        return np.stack(rows)


async def _embed(models: Models, text: str) -> NDArray[np.float32] | str:
    try:
        return await models.embedder.embed(text)
    except RequestError as error:
        return f"no embedding: {error}"


def _best_first(pool: Sequence[Candidate], objective: Mapping[int, float], *, by_round: bool = False) -> list[int]:
    """Members by number: of falling objective, equals by round and id; `by_round` puts the rounds one after another."""
    numbers = list(objective)
    ids = np.array([pool[number].id for number in numbers], dtype=np.str_)
    rounds = np.array([pool[number].round for number in numbers])
    falling = -np.array(list(objective.values()))
    # The last key weighs most. numpy lets other threads work while it sorts, unlike `sorted`.
    order = np.lexsort((ids, falling, rounds) if by_round else (ids, rounds, falling))
    return [numbers[row] for row in order]


def _value(member: Candidate, name: str) -> float | None:
    score = member.scores.get(name)
    return None if score is None else score.value


def _why(member: Candidate, name: str) -> str:
    score = member.scores.get(name)
    if score is None:
        return f"no {name}: it was not scored; is it among critic.scorers?"
    return f"no {name}: {score.reason or 'no reason given'}"


def _label(text: str) -> str:
    """The beginning of a text on one line, without what a terminal would take for a command."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 8 * LABEL]).split())
    return line if len(line) <= LABEL else line[: LABEL - 1] + "…"

"""What plugins attach goes with the candidate; one call may give several evolutions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from evoagent import (
    Candidate,
    Evolution,
    Instruction,
    Models,
    Operator,
    OperatorSpec,
    Population,
    PopulationScorer,
    Rule,
    RuleSpec,
    Score,
    Scorer,
    ScorerSpec,
    Verdict,
    hookimpl,
)
from evoagent.config.model import RunConfig
from evoagent.plugins.discovery import Source
from evoagent.plugins.manager import PluginManager
from evoagent.reports.lineage import trace

from .conftest import Mortal, read_dataset

Make = Callable[..., RunConfig]


class Three(Operator):
    """Gives up to three, the second of which may be broken, and notes how deep the line is."""

    async def evolve(self, parent: Instruction, models: Models) -> Any:
        answer = await models.evolver.generate(parent.prompt_text)
        data = {"depth": parent.data.get("depth", 0) + 1, "line": [*parent.data.get("line", []), parent.id]}
        found = [Evolution(f"{answer.text} Part {part}.", data=data) for part in range(3)]
        digit = int("".join(c for c in parent.instruction if c.isdigit())[:3] or 0) % 4
        if digit == 0:
            return [found[0], "no evolution", found[2]]
        return found[: digit - 1]


class Marks(Scorer):
    """Attaches a mark that later plugins read."""

    async def score(self, candidate: Candidate, models: Models) -> Score:
        return Score(float(candidate.data["depth"]), data={"mark": candidate.instruction[-7:]})


class Reads(Scorer):
    """Reads what the scorer before it has attached."""

    async def score(self, candidate: Candidate, models: Models) -> Score:
        return Score(float(candidate.data["mark"][5]))


class Places(PopulationScorer):
    """Attaches its place among the candidates of the round."""

    async def score_all(self, candidates: Population, survivors: Population, models: Models) -> list[Score]:
        assert all([candidate.data["mark"] async for candidate in candidates])
        return [Score(float(place), data={"place": place}) for place in range(len(candidates))]


class Marked(Rule):
    """Rejects every second place; fails without what scorers have attached."""

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        assert candidate.data["mark"] == candidate.instruction[-7:]
        return Verdict(candidate.data["place"] % 2 == 0, "marked", float(candidate.data["place"]), 1.0)


class Unfit(Operator):
    """Attaches what cannot be stored."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        number = int("".join(c for c in parent.instruction if c.isdigit()))
        data: Any = [{"x": float("nan")}, {"x": object()}, ["no mapping"], {"x": "y" * 30_000}][number % 4]
        return Evolution("Say 22.", data=data)


class Plugins:
    @hookimpl
    def evoagent_operators(self) -> Iterator[OperatorSpec]:
        yield OperatorSpec(name="three", factory=Three, evolutions=3, needs=("evolver.generate",))
        yield OperatorSpec(name="four", factory=Three, needs=("evolver.generate",))
        yield OperatorSpec(name="unfit", factory=Unfit)

    @hookimpl
    def evoagent_scorers(self) -> Iterator[ScorerSpec]:
        yield ScorerSpec(name="marks", factory=Marks)
        yield ScorerSpec(name="reads", factory=Reads)
        yield ScorerSpec(name="places", factory=Places, population=True)

    @hookimpl
    def evoagent_rules(self) -> Iterator[RuleSpec]:
        yield RuleSpec(name="marked", factory=Marked)


@pytest.fixture
def make(manager: PluginManager, toy_config: Make) -> Make:
    manager.register(Plugins(), Source("data", "data", "1.0"))
    Mortal.left = 1_000_000

    def config(**changes: Any) -> RunConfig:
        options = {"script": f"{Mortal.__module__}:Mortal", "batch": 4}
        role = {"engine": "scripted", "model": "toy", "options": options, "sampling": {"temperature": 0.7}}
        values: dict[str, Any] = {
            "seeds": 24,
            "models": {"evolver": role},
            "evolver": {"operators": ["three"]},
            "critic": {"scorers": ["marks", "reads", "places"]},
            "eliminator": {"rules": ["marked"]},
            "stop": {"rounds": 2},
        }
        return toy_config(**(values | changes))

    return config


def rows_of(directory: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        return ledger.execute(query).fetchall()


async def test_data_goes_with_the_candidate(make: Make, run_toy: Any, tmp_path: Path) -> None:
    await run_toy(make())
    rows = read_dataset(tmp_path / "run")
    parents = {row["id"]: row for row in rows}
    late = [row for row in rows if row["round"] == 2]
    assert late
    for row in rows:
        data = json.loads(row["data"])
        above = parents.get(row["parent_ids"][0])
        assert data["depth"] == (json.loads(above["data"])["depth"] if above else 0) + 1
        assert data["mark"] == row["instruction"][-7:]
        assert data["place"] % 2 == 0
        assert data["line"][-1] == row["parent_ids"][0]
        assert row["scores"] == {"marks": data["depth"], "places": data["place"], "reads": int(data["mark"][5])}
    evolved = [row for row in late if row["parent_ids"][0] in parents]
    assert evolved, "some parents are survivors, whose data their children have read"
    shown = trace(tmp_path / "run", evolved[0]["id"], None)
    assert shown["steps"][-1]["kept"]["data"] == json.loads(evolved[0]["data"])


async def test_several_evolutions_of_one_call(make: Make, run_toy: Any, tmp_path: Path) -> None:
    summary = await run_toy(make(eliminator={"rules": []}, critic={"scorers": []}, stop={"rounds": 1}))
    found = rows_of(tmp_path / "run", "select parent_id, instruction, error, reason, position from candidates")
    by_parent: dict[str, list[Any]] = {}
    for parent, *rest in found:
        by_parent.setdefault(parent, []).append(rest)
    sizes = sorted(len(rows) for rows in by_parent.values())
    assert sizes == [1] * 12 + [2] * 6 + [3] * 6, "none is one candidate that says so"
    assert len({position for *_, position in found}) == len(found), "each has a place of its own"
    broken = [error for _, _, error, _, _ in found if error]
    assert len(broken) == 6
    assert all("expected an Evolution" in error for error in broken), "one broken of three costs itself only"
    empty = [reason for _, instruction, error, reason, _ in found if not instruction and not error]
    assert empty == ["the operator returned nothing"] * 6
    assert summary["candidates"] == len(found) == summary["survivors"] + sum(summary["rejected"].values())


@pytest.mark.parametrize("left", [5, 13, 40])
async def test_killed_in_between(make: Make, interrupt: Any, left: int) -> None:
    whole, resumed = await interrupt(make(), left)
    assert resumed["rejected"] == whole["rejected"]


async def test_a_budget_of_candidates_holds(make: Make, run_toy: Any) -> None:
    summary = await run_toy(make(stop={"rounds": None, "candidates": 20}))
    assert 0 < summary["candidates"] <= 20


async def test_a_wish_for_survivors_goes_round_the_population(make: Make, run_toy: Any, tmp_path: Path) -> None:
    summary = await run_toy(
        make(
            eliminator={"rules": []},
            critic={"scorers": []},
            stop={"rounds": None, "survivors": 30, "candidates": 5000},
        )
    )
    assert summary["survivors"] == 30
    seeds = rows_of(tmp_path / "run", "select count(distinct parent_id) from candidates where round = 1")
    assert seeds == [(24,)]


async def test_more_than_the_spec_allows(make: Make, run_toy: Any, tmp_path: Path) -> None:
    summary = await run_toy(make(evolver={"operators": ["four"]}, critic={"scorers": []}, eliminator={"rules": []}))
    assert summary["rejected"] == {"error": summary["candidates"]}
    errors = {error for (error,) in rows_of(tmp_path / "run", "select error from candidates")}
    assert all("expected an Evolution" in error for error in errors)


async def test_data_that_cannot_be_stored(make: Make, run_toy: Any, tmp_path: Path) -> None:
    config = make(evolver={"operators": ["unfit"]}, critic={"scorers": []}, eliminator={"rules": []}, seeds=10)
    summary = await run_toy(config)
    assert summary["rejected"] == {"error": summary["candidates"]}
    errors = {error for (error,) in rows_of(tmp_path / "run", "select error from candidates")}
    assert len(errors) == 4
    assert all("whose data cannot be stored" in error for error in errors)

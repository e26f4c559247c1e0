"""A run of several stages, and of one whose operators an optimizer improves between rounds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import evoagent
from evoagent.config.model import RunConfig, Strict
from evoagent.errors import RequestError, UserError
from evoagent.events import Event, Notice, StageStarted
from evoagent.models.roles import Models
from evoagent.operators.base import Operator
from evoagent.operators.optimizer import FinishedRound, Optimizer
from evoagent.plugins.discovery import Source
from evoagent.plugins.hookspecs import hookimpl
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import OperatorSpec, OptimizerSpec
from evoagent.records import Evolution, Instruction
from evoagent.reports.lineage import render, trace

from .conftest import mortal, read_dataset

Make = Any
Run = Any
Interrupt = Any

STAGES = [
    {"name": "widen", "evolver": {"operators": ["twice"]}, "eliminator": {"rules": ["even"]}, "stop": {"rounds": 2}},
    {"name": "deepen", "evolver": {"operators": ["ask"], "samples": 2}, "critic": {"scorers": ["digits", "counted"]}},
]


def two_stages(toy_config: Make, **changes: Any) -> RunConfig:
    return toy_config(stages=STAGES, stop={"rounds": 1}, eliminator={"rules": []}, **changes)


def read(directory: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        return ledger.execute(query).fetchall()


async def test_what_survives_a_stage_is_what_the_next_one_begins_with(
    toy_config: Make, run_toy: Run, tmp_path: Path
) -> None:
    events: list[Event] = []
    summary = await run_toy(two_stages(toy_config), events=events)
    run = tmp_path / "run"

    first = read(run, "select id from candidates join verdicts on id = candidate_id where kept and stage = 'widen'")
    assert 0 < len(first) < read(run, "select count(*) from candidates where stage = 'widen'")[0][0]
    begun = read(run, "select instruction_id from population where round = 3")
    assert sorted(begun) == sorted(first), "the survivors of both rounds, and no parent that has lost its children"
    assert [e.population for e in events if isinstance(e, StageStarted)] == [12, len(first)]

    second = read(run, "select distinct round, operator, parent_id from candidates where stage = 'deepen'")
    assert {(round, operator) for round, operator, _ in second} == {(3, "ask")}
    assert sorted((parent,) for *_, parent in second) == sorted(first)
    assert read(run, "select distinct scorer from scores join candidates on candidate_id = id where round = 3") == [
        ("counted",),
        ("digits",),
    ]

    rows = read_dataset(run)
    assert {row["round"] for row in rows} == {3}, "the dataset is what has survived the last stage"
    assert len(rows) == summary["survivors"] == 2 * len(first)
    assert summary["handed_on"] == len(first)
    assert summary["candidates"] == summary["survivors"] + summary["handed_on"] + sum(summary["rejected"].values())
    assert [(stage["stage"], stage["rounds"]) for stage in summary["stages"]] == [("widen", 2), ("deepen", 1)]
    assert sum(stage["candidates"] for stage in summary["stages"]) == summary["candidates"]
    assert summary["stop_reason"] == "stage deepen: 1 rounds"
    card = (run / "dataset" / "README.md").read_text()
    assert "### Stages" in card
    assert "| deepen | 1 |" in card

    lineage = trace(run, None, 1)
    assert lineage["seed"]["instruction"].startswith("Describe thing")
    assert [step["kept"]["stage"] for step in lineage["steps"] if step["kept"]][-1] == "deepen"
    assert "widen, round 1 twice" in render(lineage)


@pytest.mark.parametrize("life", [0, 5, 23, 26, 40, 70, 90])
async def test_a_run_of_stages_that_ends_anywhere_goes_on_to_the_same_rows(
    toy_config: Make, run_toy: Run, interrupt: Interrupt, tmp_path: Path, life: int
) -> None:
    config = two_stages(toy_config, models={"evolver": mortal()})
    whole, resumed = await interrupt(config, life)
    assert resumed["requests"]["sent"] == whole["requests"]["sent"]
    again = await run_toy(config, tmp_path / "broken")
    assert again["requests"]["sent"] == 0, "a second run sends nothing"


async def test_a_stage_without_survivors_ends_the_run(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    strict = {"rules": [{"length_ratio": {"min_ratio": 50}}]}
    stages = [STAGES[0] | {"eliminator": strict, "stop": {"rounds": 1}}, STAGES[1]]
    summary = await run_toy(toy_config(stages=stages))
    assert summary["survivors"] == 0
    assert summary["stop_reason"] == "stage widen: 1 rounds, nothing has survived"
    assert [stage["candidates"] for stage in summary["stages"]] == [12, 0]
    assert read_dataset(tmp_path / "run") == []


async def test_a_budget_is_that_of_its_stage(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    stages = [STAGES[0] | {"stop": {"rounds": 1}}, STAGES[1] | {"stop": {"candidates": 4}}]
    summary = await run_toy(toy_config(stages=stages))
    assert [stage["candidates"] for stage in summary["stages"]] == [12, 4]
    assert summary["stop_reason"] == "stage deepen: budget of 4 candidates"
    tokens = [STAGES[0], STAGES[1] | {"stop": {"tokens": 1}}]
    summary = await run_toy(toy_config(stages=tokens), tmp_path / "tokens")
    assert summary["stages"][0]["rounds"] == 2, "the first stage has spent more than that"
    assert summary["stages"][1]["candidates"] > 0
    assert summary["stop_reason"] == "stage deepen: budget of 1 tokens"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": [STAGES[0], STAGES[0]]}, "two are named `widen`"),
        ({"stages": [{"name": "bare"}], "evolver": None}, "`bare` has no `evolver`"),
        ({"stages": [], "evolver": None}, "expected `evolver`"),
        ({"stages": [STAGES[0] | {"name": "a b"}]}, "name"),
        ({"stages": [STAGES[0] | {"seeds": 1}]}, "seeds"),
    ],
)
def test_stages_that_cannot_be(toy_config: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        toy_config(**changes)


def test_rounds_that_no_stage_would_take(toy_config: Make, tmp_path: Path) -> None:
    stages = [stage | {"stop": {"rounds": 1}} for stage in STAGES]
    values = toy_config().model_dump(mode="json") | {"stages": stages}
    values["evolver"], values["eliminator"], values["critic"] = None, {"rules": []}, {"scorers": []}
    stages[0] |= {"evolver": {"operators": ["breadth"]}, "eliminator": {"rules": []}}
    stages[1] |= {"evolver": {"operators": ["deepening"]}, "critic": {"scorers": ["length"]}}
    with pytest.raises(UserError, match=r"each stage has a `stop` of its own; give `stages\.0\.stop\.rounds`"):
        evoagent.run(values, rounds=2, out=tmp_path / "run")


async def test_a_stage_with_fewer_operators_is_decided_anew(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    def stages(*operators: str) -> Any:
        return toy_config(stages=[{"name": "one", "evolver": {"operators": operators}}, STAGES[1]], stop={"rounds": 1})

    await run_toy(stages("twice", "ask"))
    await run_toy(stages("twice"))
    assert {row[0] for row in read(tmp_path / "run", "select distinct operator from candidates")} == {"twice", "ask"}
    with pytest.raises(UserError, match=r"it differs in stages\.0\.evolver\.operators"):
        await run_toy(stages("twice", "raises"))


class Politely(Operator):
    """Adds its word to the instruction."""

    def __init__(self, config: PolitelyConfig) -> None:
        self.word = config.word

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        answer = await models.evolver.generate(f"{self.word} {parent.instruction}")
        return Evolution(f"{parent.instruction} {self.word} {len(answer.text)}", data={"word": self.word})


class PolitelyConfig(Strict):
    word: str = "please"


class Counting(Optimizer):
    """Gives the operator a word that tells what it has seen."""

    async def improve(self, round: FinishedRound, models: Models) -> Mapping[str, Mapping[str, Any]]:
        seen = [verdict.kept async for page in round.pages() for _, verdict in page]
        assert len(seen) == round.candidates
        assert sum(seen) == round.survivors
        before = round.operators["politely"].get("word", "please")
        answer = await models.judge.generate(f"Which word is better than {before}?")
        return {"politely": {"word": f"{before}-{round.number}{sum(seen)}{len(answer.text) % 10}"}}


class Failing(Optimizer):
    """Returns what no operator takes."""

    async def improve(self, round: FinishedRound, models: Models) -> Any:
        return {"politely": {"words": 3}}


class Refused(Optimizer):
    """Asks what no model answers."""

    async def improve(self, round: FinishedRound, models: Models) -> Any:
        raise RequestError("the prompt is too long")


class Words:
    @hookimpl
    def evoagent_operators(self) -> Iterator[OperatorSpec]:
        yield OperatorSpec(name="politely", factory=Politely, config=PolitelyConfig)

    @hookimpl
    def evoagent_optimizers(self) -> Iterator[OptimizerSpec]:
        yield OptimizerSpec(name="counting", factory=Counting, needs=("judge.generate",))
        yield OptimizerSpec(name="failing", factory=Failing)
        yield OptimizerSpec(name="refused", factory=Refused)


@pytest.fixture
def words(manager: PluginManager) -> None:
    manager.register(Words(), Source("words", "words", "1.0"))


def improving(toy_config: Make, optimizer: str = "counting", **changes: Any) -> RunConfig:
    return toy_config(
        evolver={"operators": ["politely", "ask"], "schedule": "all"},
        optimizer=optimizer,
        eliminator={"rules": ["even"]},
        **changes,
    )


@pytest.mark.usefixtures("words")
async def test_an_optimizer_improves_the_operators_between_rounds(
    toy_config: Make, run_toy: Run, tmp_path: Path
) -> None:
    await run_toy(improving(toy_config))
    run = tmp_path / "run"
    rows = read(run, "select distinct round, data, version from candidates where operator = 'politely' order by round")
    found = [json.loads(data)["word"] for _, data, _ in rows]
    assert len(found) == len(set(found)) == 3, "one word a round"
    assert found[0] == "please"
    assert found[1].startswith("please-1")
    assert found[2].startswith(f"{found[1]}-2"), "it goes on from what it has made"
    assert len({version for *_, version in rows}) == 3, "whatever decides what an operator writes is in its version"
    kept = read(run, "select round, operator, params from methods order by round")
    assert [(round, json.loads(params)["word"]) for round, _, params in kept] == [(2, found[1]), (3, found[2])]


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize("life", [30, 47, 49, 53, 80, 100])
async def test_a_run_with_an_optimizer_goes_on_to_the_same_rows(
    toy_config: Make, interrupt: Interrupt, life: int
) -> None:
    whole, resumed = await interrupt(improving(toy_config, models={"evolver": mortal()}), life)
    assert resumed["requests"]["sent"] == whole["requests"]["sent"]


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize("name", ["failing", "refused"])
async def test_an_optimizer_that_fails_costs_no_row(toy_config: Make, run_toy: Run, tmp_path: Path, name: str) -> None:
    events: list[Event] = []
    summary = await run_toy(improving(toy_config, name), events=events)
    assert summary["rounds"] == 3
    told = [event.message for event in events if isinstance(event, Notice)]
    assert sum(f"optimizer `{name}` of words 1.0" in line and "stay as they were" in line for line in told) == 2
    assert read(tmp_path / "run", "select count(*) from methods") == [(0,)]

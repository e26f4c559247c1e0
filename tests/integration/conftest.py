"""A deterministic toy world: scripted models and small plugins, run through the real graph and the real ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
from evoagent.errors import EngineError
from evoagent.events import Event
from evoagent.models.requests import GenerateRequest
from evoagent.plugins.discovery import Source
from evoagent.plugins.manager import PluginManager
from evoagent.runs.directory import Resume
from evoagent.runs.driving import run_graph
from evoagent.runs.opening import open_run
from evoagent.testing import Script


class Ask(Operator):
    """Takes the model's word for it."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        answer = await models.evolver.generate(parent.prompt_text)
        if "nothing" in answer.text:
            return Evolution("", reason="the model said nothing", raw=answer.text)
        return Evolution(answer.text, raw=answer.text)


class Twice(Operator):
    """Two model calls, one after the other."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        first = await models.evolver.generate(parent.prompt_text)
        second = await models.evolver.generate(first.text)
        return Evolution(second.text, raw=second.text)


class Answered(Operator):
    """Writes the answer too."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        return Evolution(f"{parent.instruction} In 20 words.", response=f"{parent.output} That is all.")


class Merge(Operator):
    """Takes two parents, and no model."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        return Evolution("", reason="one parent is not enough")

    async def combine(self, parents: tuple[Instruction, ...], models: Models) -> Evolution:
        first, second = parents
        return Evolution(f"{first.instruction} Then: {second.instruction} Use 2 words.")


class Raises(Operator):
    """Fails on parents with an odd last digit, by a bug of its own."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        raise ZeroDivisionError("a bug in the operator")


class Rubbish(Operator):
    """Returns what it must not."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        return "not an evolution"  # type: ignore[return-value]


class Digits(Scorer):
    """The last number in the instruction."""

    async def score(self, candidate: Candidate, models: Models) -> Score:
        digits = "".join(c for c in candidate.instruction if c.isdigit())
        return Score(float(digits[-3:])) if digits else Score(None, "no digit")


class Counted(PopulationScorer):
    """Scores by the place in the round, and measures the dataset."""

    async def score_all(self, candidates: Population, survivors: Population, models: Models) -> list[Score]:
        return [Score(float(number)) for number in range(len(candidates))]

    async def measure(self, survivors: Population, models: Models) -> dict[str, float]:
        return {"size": float(len(survivors)), "nothing": float("nan")}


class EvenOnly(Rule):
    """Rejects instructions whose digits sum to an odd number."""

    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        total = sum(int(c) for c in candidate.instruction if c.isdigit())
        return Verdict(total % 2 == 0, "even", float(total), 0.0)


class Toys:
    """The toy plugins, registered as a third-party distribution would be."""

    @hookimpl
    def evoagent_operators(self) -> Iterator[OperatorSpec]:
        for name, factory in {
            "ask": Ask,
            "twice": Twice,
            "answered": Answered,
            "raises": Raises,
            "rubbish": Rubbish,
        }.items():
            yield OperatorSpec(name=name, factory=factory, summary=name, needs=("evolver.generate",))

        yield OperatorSpec(name="merge", factory=Merge, summary="merge", parents=2)

    @hookimpl
    def evoagent_scorers(self) -> Iterator[ScorerSpec]:
        yield ScorerSpec(name="digits", factory=Digits, summary="digits")
        yield ScorerSpec(name="counted", factory=Counted, summary="counted", population=True)

    @hookimpl
    def evoagent_rules(self) -> Iterator[RuleSpec]:
        yield RuleSpec(name="even", factory=EvenOnly, summary="even", looks_at="instruction")


class Forgetful(Script):
    """Now and then says nothing."""

    def generate(self, request: Any) -> str:
        return "nothing" if request.seed % 7 == 0 else super().generate(request)


class Mortal(Script):
    """Answers `left` requests, then the engine is gone."""

    left = 1_000_000

    def generate(self, request: GenerateRequest) -> str:
        Mortal.left -= 1
        if Mortal.left < 0:
            raise EngineError("the engine is gone")
        return super().generate(request)


@pytest.fixture
def manager() -> PluginManager:
    found = PluginManager().load()
    found.register(Toys(), Source("toys", "toys", "1.0"))
    return found


@pytest.fixture
def toy_config(tmp_path: Path) -> Callable[..., RunConfig]:
    def make(seeds: int = 12, **changes: Any) -> RunConfig:
        file = tmp_path / f"seeds-{seeds}.jsonl"
        with file.open("w") as out:
            for number in range(seeds):
                row = {"instruction": f"Describe thing {number}.", "input": "", "output": f"Thing {number} is blue."}
                out.write(json.dumps(row) + "\n")
        values: dict[str, Any] = {
            "name": "toy",
            "seeds": {"path": str(file)},
            "models": {"evolver": {"engine": "scripted", "model": "toy", "sampling": {"temperature": 0.7}}},
            "evolver": {"operators": ["ask", "twice"]},
            "critic": {"scorers": ["digits"]},
            "eliminator": {"rules": ["even"]},
            "stop": {"rounds": 3},
        }
        values |= changes
        return RunConfig.model_validate(values)

    return make


@pytest.fixture
def run_toy(manager: PluginManager, tmp_path: Path) -> Callable[..., Any]:
    async def run(
        config: RunConfig,
        directory: Path | None = None,
        resume: Resume = "auto",
        events: list[Event] | None = None,
    ) -> dict[str, Any]:
        listen = events.append if events is not None else lambda event: None
        where = directory or tmp_path / "run"
        async with open_run(config, tmp_path, where, manager, resume=resume, listen=listen) as context:
            return await run_graph(context)

    return run


class Interrupted(NamedTuple):
    """The summaries of a run that was not interrupted, and of one that was."""

    whole: dict[str, Any]
    resumed: dict[str, Any]


@pytest.fixture
def interrupt(run_toy: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a configuration whose models are `Mortal`: once in one go, in `whole`, and once in `broken`, where the
    engine dies after `life` answers and the same run then goes on. Both end with the same bytes."""

    async def run(config: RunConfig, life: int) -> Interrupted:
        monkeypatch.setattr(Mortal, "left", 10**9)
        whole = await run_toy(config, tmp_path / "whole")
        monkeypatch.setattr(Mortal, "left", life)
        with pytest.raises(EngineError, match="the engine is gone"):
            await run_toy(config, tmp_path / "broken")
        monkeypatch.setattr(Mortal, "left", 10**9)
        resumed = await run_toy(config, tmp_path / "broken")
        files = [tmp_path / name / "dataset" / "train.jsonl" for name in ("whole", "broken")]
        assert files[0].read_bytes() == files[1].read_bytes()
        return Interrupted(whole, resumed)

    return run


def mortal(batch: int = 2) -> dict[str, Any]:
    """The configuration of a model that is `Mortal`."""
    options = {"script": f"{Mortal.__module__}:Mortal", "batch": batch}
    return {"engine": "scripted", "model": "toy", "sampling": {"temperature": 0.7}, "options": options}


def read_dataset(directory: Path) -> list[dict[str, Any]]:
    with (directory / "dataset" / "train.jsonl").open() as file:
        return [json.loads(line) for line in file]


def texts(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [row["instruction"] for row in rows]

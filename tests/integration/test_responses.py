"""Several responses to a candidate: which is kept, what becomes of the others."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evoagent.errors import EngineError, RequestError, UserError
from evoagent.events import Event, Notice
from evoagent.models.requests import GenerateRequest
from evoagent.models.roles import Models
from evoagent.plugins.discovery import Source
from evoagent.plugins.hookspecs import hookimpl
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import ResponseSelectorSpec, ScorerSpec
from evoagent.records import Candidate, Score
from evoagent.reports.exporting import export_run
from evoagent.reports.lineage import render, trace
from evoagent.scorers.base import Scorer
from evoagent.selectors.base import ResponseSelector
from evoagent.testing import Script

from .conftest import Mortal, read_dataset

Make = Any
Run = Any
Interrupt = Any

ROLE = {"engine": "scripted", "model": "toy", "sampling": {"temperature": 0.7}}


class Uneven(Script):
    """Answers of different lengths; now and then it cannot."""

    def generate(self, request: GenerateRequest) -> str:
        if request.messages[-1][1].startswith("Describe") and request.seed % 5 == 0:
            raise RequestError("cannot")
        return super().generate(request) + " word" * (request.seed % 7)


class Words(Scorer):
    """How many words the response has."""

    async def score(self, candidate: Candidate, models: Models) -> Score:
        return Score(float(len(candidate.response.split())), data={"words": len(candidate.response.split())})


class Last(ResponseSelector):
    async def rank(self, answered: Sequence[Candidate], models: Models) -> Sequence[float | None]:
        return list(range(len(answered)))


class Wrong(ResponseSelector):
    async def rank(self, answered: Sequence[Candidate], models: Models) -> Any:
        return [1.0]


class Brought:
    @hookimpl
    def evoagent_scorers(self) -> Iterator[ScorerSpec]:
        yield ScorerSpec(name="words", factory=Words, ascending=True)

    @hookimpl
    def evoagent_selectors(self) -> Iterator[ResponseSelectorSpec]:
        yield ResponseSelectorSpec(name="last", factory=Last)
        yield ResponseSelectorSpec(name="wrong", factory=Wrong)


@pytest.fixture(autouse=True)
def brought(manager: PluginManager) -> None:
    manager.register(Brought(), Source("brought", "brought", "1.0"))


def several(toy_config: Make, selector: Any = "first", script: str = f"{__name__}:Uneven", **changes: Any) -> Any:
    critic = {"scorers": ["words"], "responses": 4, "response_selector": selector}
    models = {"evolver": ROLE, "responder": ROLE | {"options": {"script": script}}}
    values = {"models": models, "critic": critic, "eliminator": {"rules": []}, "stop": {"rounds": 1}} | changes
    return toy_config(**values)


def responses(directory: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        ledger.row_factory = sqlite3.Row
        for row in ledger.execute("select * from responses order by candidate_id, number"):
            found.setdefault(row["candidate_id"], []).append(dict(row))
    return found


async def test_the_best_is_kept_and_the_others_stay_in_the_ledger(
    toy_config: Make, run_toy: Run, tmp_path: Path
) -> None:
    await run_toy(several(toy_config, {"best": {"by": "words"}}))
    found, rows = responses(tmp_path / "run"), read_dataset(tmp_path / "run")
    assert rows
    assert any(len(items) == 4 for items in found.values())
    for number, row in enumerate(rows, 1):
        items = found.get(row["id"], [])
        if not items:
            continue  # of its four requests one was answered
        (kept,) = [item for item in items if item["kept"]]
        words = [len(item["response"].split()) for item in items]
        assert row["output"] == kept["response"]
        assert row["scores"]["words"] == min(words), "small is good, as the scorer's spec says"
        assert json.loads(row["data"])["words"] == min(words), "what scorers attach is that of the response kept"
        assert [json.loads(item["scores"])["words"] for item in items] == words
        assert "answered (the best of" in render(trace(tmp_path / "run", None, number))


async def test_pairs_are_of_the_kept_response_and_the_worst(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(several(toy_config, {"best": {"by": "words"}}))
    path, count = export_run(tmp_path / "run", "preference", None)
    pairs = [json.loads(line) for line in path.read_text().splitlines()]
    assert count == len(pairs) > 0
    by_prompt = {row["instruction"]: row["id"] for row in read_dataset(tmp_path / "run")}
    found = responses(tmp_path / "run")
    for pair in pairs:
        words = [len(item["response"].split()) for item in found[by_prompt[pair["prompt"]]]]
        assert (len(pair["chosen"].split()), len(pair["rejected"].split())) == (min(words), max(words))
        assert min(words) < max(words)
    info = json.loads((path.parent / "dataset_info.json").read_text())["preference"]
    assert info["ranking"] is True


async def test_without_a_rank_there_are_no_pairs(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(several(toy_config))
    for row in read_dataset(tmp_path / "run"):
        items = responses(tmp_path / "run").get(row["id"], [])
        assert [item["kept"] for item in items] == [1] + [0] * (len(items) - 1) if items else True
    with pytest.raises(UserError, match=r"set critic\.responses above 1, and"):
        export_run(tmp_path / "run", "preference", None)
    assert not (tmp_path / "run" / "dataset" / "preference.jsonl").exists()


async def test_a_selector_of_a_plugin(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(several(toy_config, "last"))
    assert all(items[-1]["kept"] for items in responses(tmp_path / "run").values())


async def test_a_selector_that_fails_keeps_the_first_and_says_so(
    toy_config: Make, run_toy: Run, tmp_path: Path
) -> None:
    events: list[Event] = []
    await run_toy(several(toy_config, "wrong"), events=events)
    assert all(items[0]["kept"] for items in responses(tmp_path / "run").values())
    assert any(
        "response selector `wrong` of brought 1.0" in event.message for event in events if isinstance(event, Notice)
    )


@pytest.mark.parametrize("life", [3, 15, 30, 44])
async def test_a_killed_run_ends_with_the_same_responses(
    toy_config: Make, interrupt: Interrupt, tmp_path: Path, life: int
) -> None:
    await interrupt(several(toy_config, {"best": {"by": "words"}}, f"{Mortal.__module__}:Mortal"), life)
    both = [responses(tmp_path / name) for name in ("whole", "broken")]
    texts = [{id: [item["response"] for item in items] for id, items in found.items()} for found in both]
    assert texts[0] == texts[1]


class Refusing(Script):
    """Cannot answer some of what it is asked: others after the first end of the run."""

    share = 2

    def generate(self, request: GenerateRequest) -> str:
        if request.messages[-1][1].startswith("Describe") and request.seed % Refusing.share == 0:
            raise RequestError("cannot")
        return super().generate(request) + " word" * (request.seed % 7)


async def test_responses_and_scores_of_one_candidate_stay_together(
    toy_config: Make, run_toy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: Any) -> None:
        raise EngineError("the process is killed when all responses are recorded")

    config = several(toy_config, {"best": {"by": "words"}}, f"{__name__}:Refusing")
    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["evoagent.graph.critic"], "_score_population", dies)
        with pytest.raises(EngineError):
            await run_toy(config)
    before = responses(tmp_path / "run")
    assert before
    monkeypatch.setattr(Refusing, "share", 3)
    await run_toy(config)
    assert responses(tmp_path / "run") == before, "who was answered is not asked again"
    for row in read_dataset(tmp_path / "run"):
        assert row["scores"]["words"] == len(row["output"].split())
        assert [item["response"] for item in before.get(row["id"], []) if item["kept"]] in ([], [row["output"]])


def test_a_greedy_responder_gives_one_response_only(toy_config: Make) -> None:
    with pytest.raises(ValidationError, match="would all be alike"):
        several(toy_config, models={"evolver": ROLE})

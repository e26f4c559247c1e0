"""A person's decisions: asked for before the eliminator, recorded, never asked twice, and final."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from evoagent.config.model import RunConfig
from evoagent.errors import UserError
from evoagent.plugins.manager import PluginManager
from evoagent.reports.lineage import trace
from evoagent.runs.driving import run_graph
from evoagent.runs.opening import open_run

from .conftest import read_dataset

Make = Callable[..., RunConfig]

OPEN = {"scorers": ["digits"], "screen": False}  # nothing is rejected before a person has seen it


class Person:
    """Answers by a rule of its own, and remembers what it was asked."""

    def __init__(self, decide: Callable[[dict[str, Any]], Any], leave_after: int | None = None) -> None:
        self.decide, self.leave_after = decide, leave_after
        self.asked: list[str] = []

    def __call__(self, question: dict[str, Any]) -> Any:
        answers = {}
        for item in question["candidates"]:
            if self.leave_after is not None and len(self.asked) >= self.leave_after:
                raise KeyboardInterrupt
            self.asked.append(item["id"])
            answers[item["id"]] = self.decide(item)
        return answers


@pytest.fixture
def run(manager: PluginManager, tmp_path: Path) -> Callable[..., Any]:
    async def start(config: RunConfig, person: Any = None, page: int = 5) -> dict[str, Any]:
        async with open_run(config, tmp_path, tmp_path / "run", manager) as context:
            context.review_page = page
            return await run_graph(context, person)

    return start


def query(directory: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        return ledger.execute(sql).fetchall()


async def test_decisions_are_final_and_on_the_record(toy_config: Make, run: Any, tmp_path: Path) -> None:
    kinds = iter(["keep", "reject", "edit", "pass"] * 10)
    given: dict[str, str] = {}

    def decide(item: dict[str, Any]) -> Any:
        given[item["id"]] = kind = next(kinds)
        extra = {"reject": {"reason": "dull"}, "edit": {"instruction": f"Edited 1 of {item['id']}."}}.get(kind, {})
        return {"decision": kind, **extra}

    person = Person(decide)
    await run(toy_config(review=True, critic=OPEN, stop={"rounds": 1}), person)
    assert len(person.asked) == len(set(person.asked)) == 12
    found = {
        id: (kept, rule) for id, kept, rule in query(tmp_path / "run", "select candidate_id, kept, rule from verdicts")
    }
    for id, kind in given.items():
        if kind == "keep":
            assert found[id] == (1, "review"), "also where the rule `even` would have rejected it"
        elif kind in ("reject", "edit"):
            assert found[id] == (0, "review")
        else:
            assert found[id][1] != "review"
    edited = [row for row in read_dataset(tmp_path / "run") if row["operator"] == "review"]
    assert [row["instruction"] for row in edited] == [f"Edited 1 of {id}." for id, k in given.items() if k == "edit"]
    assert all(row["output"] and row["scores"]["digits"] is not None and row["model"] == "a person" for row in edited)
    shown = trace(tmp_path / "run", edited[0]["id"], None)
    assert "took its place" in str(shown["steps"]), "the lineage leads from the edited text to what it was"


async def test_nobody_is_asked_twice(toy_config: Make, run: Any, tmp_path: Path) -> None:
    first = Person(lambda item: "keep", leave_after=7)
    with pytest.raises(KeyboardInterrupt):
        await run(toy_config(review=True, critic=OPEN, stop={"rounds": 1}), first, page=1)
    second = Person(lambda item: "keep")
    summary = await run(toy_config(review=True, critic=OPEN, stop={"rounds": 1}), second, page=1)
    assert len(first.asked) == 7
    assert len(second.asked) == 5
    assert not set(first.asked) & set(second.asked), "what is decided is kept when the person leaves"
    dataset = (tmp_path / "run" / "dataset" / "train.jsonl").read_bytes()
    third = Person(lambda item: "keep")
    again = await run(toy_config(review=True, critic=OPEN, stop={"rounds": 1}), third)
    assert third.asked == []
    assert (again["survivors"], (tmp_path / "run" / "dataset" / "train.jsonl").read_bytes()) == (
        summary["survivors"],
        dataset,
    )


async def test_a_wrong_answer_is_asked_again(toy_config: Make, run: Any) -> None:
    wrong: list[Any] = ["perhaps", {"nobody": "keep"}, {"ID": "maybe"}, {"ID": {"decision": "edit"}}, 7]
    problems: list[str] = []

    def answer(question: dict[str, Any]) -> Any:
        problems.extend(question.get("problems", []))
        if not wrong:
            return "rest"
        found, id = wrong.pop(0), question["candidates"][0]["id"]
        return {id if key == "ID" else key: value for key, value in found.items()} if isinstance(found, dict) else found

    await run(toy_config(review=True, critic=OPEN, stop={"rounds": 1}), answer)
    assert len(problems) == 5
    assert "'nobody' is the id of no candidate of this round" in problems
    assert any("edit needs an `instruction`" in problem for problem in problems)


async def test_the_rest_goes_to_the_rules(toy_config: Make, run: Any, tmp_path: Path) -> None:
    summary = await run(toy_config(review=True), lambda question: "rest")
    rules = {rule for (rule,) in query(tmp_path / "run", "select rule from verdicts")}
    assert "review" not in rules
    assert summary["rejected"].keys() == {"even"}


async def test_a_person_cannot_exceed_the_number_asked_for(toy_config: Make, run: Any, tmp_path: Path) -> None:
    summary = await run(
        toy_config(review=True, critic=OPEN, stop={"survivors": 3, "candidates": 60}), Person(lambda item: "keep")
    )
    assert summary["survivors"] == len(read_dataset(tmp_path / "run")) == 3
    assert summary["rejected"]["quota"] > 0


async def test_without_anybody_to_answer_the_run_says_so(toy_config: Make, run: Any) -> None:
    with pytest.raises(UserError, match="nobody to answer"):
        await run(toy_config(review=True), None)


async def test_decisions_outlive_a_change_of_the_configuration(toy_config: Make, run: Any, tmp_path: Path) -> None:
    first = Person(lambda item: "keep", leave_after=4)
    with pytest.raises(KeyboardInterrupt):
        await run(toy_config(review=True, critic=OPEN, stop={"rounds": 1}), first, page=1)
    second = Person(lambda item: {"decision": "reject", "reason": "no"})
    other = toy_config(review=True, critic=OPEN, stop={"rounds": 1}, eliminator={"rules": []})
    summary = await run(other, second, page=3)
    assert (len(first.asked), len(second.asked)) == (4, 8)
    assert not set(first.asked) & set(second.asked)
    assert (summary["survivors"], summary["rejected"]) == (4, {"review": 8})


async def test_rules_see_what_a_person_keeps(toy_config: Make, run: Any) -> None:
    """Two samples of each parent: without a person one of the two is the other's near duplicate."""
    twins = {
        "evolver": {"operators": ["answered"], "samples": 2},
        "critic": {"scorers": []},
        "eliminator": {"rules": ["near_duplicate"]},
        "stop": {"rounds": 1},
    }
    models = toy_config().models.model_dump(exclude_none=True)
    models["embedder"] = {"engine": "scripted", "model": "toy"}
    seen: set[str] = set()

    def keep_the_first(item: dict[str, Any]) -> str:
        again = item["parent"] in seen
        seen.add(item["parent"])
        return "pass" if again else "keep"

    summary = await run(toy_config(seeds=2, models=models, review=True, **twins), Person(keep_the_first))
    assert (summary["candidates"], summary["survivors"]) == (4, 2)
    assert summary["rejected"] == {"near_duplicate": 2}


async def test_an_edit_that_changes_nothing_keeps(toy_config: Make, run: Any) -> None:
    person = Person(lambda item: {"decision": "edit", "instruction": f" {item['evolved']}\n"})
    summary = await run(toy_config(review=True, critic=OPEN, stop={"rounds": 1}), person)
    assert (summary["candidates"], summary["survivors"]) == (12, 12)


async def test_questions_stay_small(toy_config: Make, run: Any) -> None:
    sizes = []

    def answer(question: dict[str, Any]) -> Any:
        sizes.append(len(json.dumps(question)))
        assert all(item["evolved"].endswith("source.") for item in question["candidates"]), "the end is what is new"
        return {item["id"]: "keep" for item in question["candidates"]}

    config = toy_config(review=True, critic=OPEN, stop={"rounds": 1}, evolver={"operators": ["ask"]})
    rows = [json.loads(line) for line in Path(config.seeds.path).read_text().splitlines()]
    long = [row | {"instruction": f"{row['instruction']} {'Say it again. ' * 400}"} for row in rows]
    Path(config.seeds.path).write_text("".join(json.dumps(row) + "\n" for row in long))
    await run(config, answer, page=20)
    assert len(sizes) > 1
    assert max(sizes) < 30_000

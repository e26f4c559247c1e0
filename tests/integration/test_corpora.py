"""Documents as seeds, corpora, and what operators draw, through whole runs."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

import evoagent
from evoagent import (
    Candidate,
    ConfigError,
    DataError,
    Evolution,
    Instruction,
    Models,
    Operator,
    OperatorSpec,
    Score,
    Scorer,
    ScorerSpec,
    hookimpl,
)
from evoagent.config.model import RunConfig
from evoagent.errors import EngineError, UserError
from evoagent.events import Event, Notice
from evoagent.plugins.discovery import Source
from evoagent.plugins.manager import PluginManager
from evoagent.reports.lineage import render, trace
from evoagent.testing import DOCUMENTS, SEEDS, run_in_memory, scripted_models

from .conftest import Mortal, read_dataset

Make = Callable[..., RunConfig]
Run = Callable[..., Any]


class Drawing(Operator):
    """Writes down what it has drawn, on both sides of a model call."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        queries = models.corpora["queries"]
        first = await queries.sample(2)
        answer = await models.evolver.generate(f"{parent.instruction} {first[0].instruction}")
        second = await queries.sample(2)
        members = await models.pool.sample(3)
        drawn = {
            "queries": [[row.instruction for row in rows] for rows in (first, second)],
            "members": [row.id for row in members],
            "sizes": [len(queries), len(models.pool)],
            "topics": [row.data.get("topic") for row in first],
        }
        return Evolution(f"{answer.text} {first[0].instruction}", raw=answer.text, data=drawn)


class Asks(Operator):
    """Writes an instruction for a document, which stays as its input."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        if not parent.is_document:
            return Evolution(f"{parent.instruction} Use 5 words.")
        answer = await models.evolver.generate(parent.input)
        return Evolution(f"Sum up the text in {len(answer.text)} words.", raw=answer.text)


class Answers(Operator):
    """Writes the instruction that a document answers."""

    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        return Evolution(f"Write about thing {parent.input.split()[1]}.", input="", response=parent.input)


class Nearest(Scorer):
    """Compares with rows of a corpus."""

    async def score(self, candidate: Candidate, models: Models) -> Score:
        return Score(float(len((await models.corpora["queries"].sample(1))[0].instruction)))


class Drawers:
    @hookimpl
    def evoagent_operators(self) -> Iterator[OperatorSpec]:
        needs = ("evolver.generate", "corpora.queries")
        yield OperatorSpec(name="drawing", factory=Drawing, summary="draws", needs=needs)
        yield OperatorSpec(name="asks", factory=Asks, summary="asks about documents", needs=("evolver.generate",))
        yield OperatorSpec(name="answers", factory=Answers, summary="takes documents for answers")

    @hookimpl
    def evoagent_scorers(self) -> Iterator[ScorerSpec]:
        yield ScorerSpec(name="nearest", factory=Nearest, summary="draws", needs=("corpora.queries",))


@pytest.fixture
def manager(manager: PluginManager) -> PluginManager:
    manager.register(Drawers(), Source("drawers", "drawers", "1.0"))
    return manager


def write_queries(folder: Path, count: int = 30, word: str = "Ask") -> dict[str, Any]:
    path = folder / "queries.jsonl"
    rows = [{"query": f"{word} about topic {n}.", "data": {"topic": n}} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"queries": {"path": str(path)}}


def drawing(toy_config: Make, folder: Path, **changes: Any) -> RunConfig:
    options = {"script": f"{Mortal.__module__}:Mortal", "batch": 4}
    role = {"engine": "scripted", "model": "toy", "options": options, "sampling": {"temperature": 0.7}}
    values = {
        "corpora": write_queries(folder),
        "models": {"evolver": role},
        "evolver": {"operators": ["drawing"], "samples": 2},
        "critic": {"scorers": ["nearest"]},
        "eliminator": {"rules": []},
        "stop": {"rounds": 2},
        "window": 8,
    }
    return toy_config(**values | changes)


def drawn(row: dict[str, Any]) -> dict[str, Any]:
    """What an operator has written down."""
    found: dict[str, Any] = json.loads(row["data"])
    return found


async def test_what_is_drawn(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(drawing(toy_config, tmp_path))
    rows = read_dataset(tmp_path / "run")
    assert len(rows) == 12 * 2 + 24 * 2
    for row in rows:
        data = drawn(row)
        assert all(len(set(names)) == 2 for names in data["queries"])
        assert len(set(data["members"])) == 3
        assert row["parent_ids"][0] not in data["members"]
        assert data["sizes"] == [30, (12 if row["round"] == 1 else 24) - 1]
        assert [f"Ask about topic {topic}." for topic in data["topics"]] == data["queries"][0]
    assert len({json.dumps(drawn(row)["queries"]) for row in rows}) > 60, "each call draws for itself"
    assert sum(first == second for first, second in (drawn(row)["queries"] for row in rows)) < 3
    topics = {topic for row in rows for topic in drawn(row)["topics"]}
    assert topics <= set(range(30))
    assert len(topics) > 20, "every row has its chance"
    with closing(sqlite3.connect(tmp_path / "run" / "ledger.db")) as ledger:
        assert ledger.execute("select count(*) from corpus_rows").fetchone() == (30,)


async def test_a_killed_run_draws_the_same(
    toy_config: Make, run_toy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mortal, "left", 1_000_000)
    config = drawing(toy_config, tmp_path)
    await run_toy(config, tmp_path / "whole")
    for left in (9, 30, 70):
        monkeypatch.setattr(Mortal, "left", left)
        with pytest.raises(EngineError):
            await run_toy(config, tmp_path / "killed")
    monkeypatch.setattr(Mortal, "left", 1_000_000)
    # Another window finishes calls in another order.
    await run_toy(config.model_copy(update={"window": 3}), tmp_path / "killed")
    assert read_dataset(tmp_path / "killed") == read_dataset(tmp_path / "whole")


async def test_the_same_run_again_sends_nothing(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    config = drawing(toy_config, tmp_path)
    first = await run_toy(config)
    rows = read_dataset(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    moved = drawing(toy_config, tmp_path, corpora=write_queries(tmp_path / "elsewhere"))
    Path(config.corpora["queries"].path).unlink()
    again = await run_toy(moved)
    assert first["requests"]["sent"] > 0
    assert again["requests"]["sent"] == 0
    assert read_dataset(tmp_path / "run") == rows


async def test_an_edited_corpus_makes_new_candidates_and_is_told(
    toy_config: Make, run_toy: Run, tmp_path: Path
) -> None:
    config = drawing(toy_config, tmp_path)
    await run_toy(config)
    old = {row["id"] for row in read_dataset(tmp_path / "run")}
    write_queries(tmp_path, word="Inquire")
    events: list[Event] = []
    await run_toy(config, events=events)
    told = [event.message for event in events if isinstance(event, Notice) and "changed" in event.message]
    assert len(told) == 1
    assert "changed since the run before: corpora.queries." in told[0]
    rows = read_dataset(tmp_path / "run")
    assert not old & {row["id"] for row in rows}
    assert all(query.startswith("Inquire") for row in rows for names in drawn(row)["queries"] for query in names)
    fresh = tmp_path / "fresh"
    await run_toy(config, fresh)
    assert read_dataset(fresh) == rows


async def test_a_corpus_that_is_missing_or_broken_is_named(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    config = drawing(toy_config, tmp_path)
    path = Path(config.corpora["queries"].path)
    path.write_text("{\n" * 5)
    with pytest.raises(DataError, match=r"^corpora\.queries: .*queries\.jsonl: 5 of 5 rows cannot be used"):
        await run_toy(config)
    path.unlink()
    with pytest.raises(DataError, match=r"^corpora\.queries: .*queries\.jsonl: no such file"):
        await run_toy(config)
    assert not (tmp_path / "run").exists(), "nothing is written"


async def test_broken_rows_of_a_corpus_are_told_and_a_worse_one_ends_the_next_run(
    toy_config: Make, run_toy: Run, tmp_path: Path
) -> None:
    config = drawing(toy_config, tmp_path)
    path = Path(config.corpora["queries"].path)
    path.write_text(path.read_text() + "{\n")
    events: list[Event] = []
    await run_toy(config, events=events)
    told = [event.message for event in events if isinstance(event, Notice)]
    assert "1 of 31 corpora.queries rows are broken and skipped (lines 31)" in told
    rows = read_dataset(tmp_path / "run")
    path.write_text(path.read_text() + "{\n" * 30)
    with pytest.raises(DataError, match=r"^corpora\.queries: "):
        await run_toy(config)
    assert read_dataset(tmp_path / "run") == rows


async def test_a_needed_corpus_that_is_not_configured_is_refused(
    toy_config: Make, run_toy: Run, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"operator `drawing` needs corpora\.queries, but there is no such corpus"):
        await run_toy(drawing(toy_config, tmp_path, corpora={}))


MODULE = """
import evoagent
from evoagent import Evolution, Operator, OperatorSpec

class Mix(Operator):
    async def evolve(self, parent, models):
        members, queries = await models.pool.sample(2), await models.corpora["queries"].sample(2)
        draft = await models.evolver.generate(" ".join(row.prompt_text for row in (parent, *members, *queries)))
        names = ", ".join(row.id for row in (*members, *queries))
        return Evolution(f"{draft.text} ({names})")

@evoagent.hookimpl
def evoagent_operators():
    yield OperatorSpec(name="mix", factory=Mix, summary="mixes", needs=("evolver.generate", "corpora.queries"))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mix.py").write_text(MODULE)
    rows = [{"instruction": f"Describe thing {n} in the museum.", "output": f"Thing {n} is old."} for n in range(40)]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_queries(tmp_path)
    options = {"batch": 2, "delay": 0.02}
    values = {
        "seeds": {"path": "seeds.jsonl"},
        "corpora": {"queries": {"path": "queries.jsonl"}},
        "models": {
            "evolver": {"engine": "scripted", "model": "toy", "options": options, "sampling": {"temperature": 0.7}}
        },
        "evolver": {"operators": ["mix"]},
        "stop": {"rounds": 2},
        "plugins": ["mix"],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def start(project: Path, out: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "evoagent", "run", "config.yaml", "--out", out, "--json", *more]
    return subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(project: Path, out: str, *more: str) -> dict[str, Any]:
    process = start(project, out, *more)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    summary: dict[str, Any] = json.loads(stdout)
    return summary


def test_killed_for_good_and_in_other_processes(project: Path) -> None:
    finish(project, "whole")
    for seconds in (0.1, 0.6):
        process = start(project, "killed")
        while not (project / "killed" / "ledger.db").exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(seconds)
        process.kill()
        process.communicate()
    finish(project, "killed")
    assert read_dataset(project / "killed") == read_dataset(project / "whole")
    assert "queries.jsonl" in (project / "whole" / "dataset" / "README.md").read_text()
    # The run's own configuration says where its corpora lie.
    kept = yaml.safe_load((project / "whole" / "config.yaml").read_text())
    assert kept["corpora"]["queries"]["path"] == str(project / "queries.jsonl")


def test_what_the_command_line_says_of_corpora(project: Path) -> None:
    plan = finish(project, "planned", "--dry-run")
    assert plan["corpora"] == {"queries": 30}
    assert not (project / "planned").exists()
    for change, expected in (
        ("corpora.queries.path=querie.jsonl", "corpora.queries: "),
        ("corpora={}", "operator `mix` needs corpora.queries, but `corpora.queries` is not given"),
        ("corpora={querys: {path: queries.jsonl}}", "did you mean `querys`?"),
        ("corpora.queries.pth=x", "corpora.queries.pth: unknown key; did you mean `path`?"),
    ):
        process = start(project, "refused", "--set", change)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 2, stderr
        assert expected in stderr
    assert not (project / "refused").exists()


# -- documents


def documents(toy_config: Make, folder: Path, operator: str, **changes: Any) -> RunConfig:
    path = folder / "texts.jsonl"
    rows = [{"title": f"{n}", "body": f"Thing {n} lies in the hall.\nIt is blue."} for n in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seeds = {"path": str(path), "form": "documents", "columns": {"text": "body"}}
    rules = ["extracted", "unchanged", "length_ratio", "repetition", "language", "template_leak", "missing_input"]
    values = {"evolver": {"operators": [operator]}, "eliminator": {"rules": rules}, "stop": {"rounds": 2}}
    return RunConfig.model_validate({**toy_config(**values | changes).model_dump(), "seeds": seeds})


async def test_instructions_for_documents(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    config = documents(toy_config, tmp_path, "asks")
    await run_toy(config)
    rows = read_dataset(tmp_path / "run")
    assert {row["round"] for row in rows} == {1, 2}
    for row in rows:
        assert row["instruction"].startswith("Sum up the text in ")
        assert row["input"].startswith("Thing ")
        assert row["input"].endswith("\nIt is blue.")
        assert row["output"]
    first = next(row for row in rows if row["round"] == 1)
    found = trace(tmp_path / "run", first["id"], None)
    assert found["seed"] == {"id": first["seed_id"], "instruction": "", "input": first["input"], "output": ""}
    assert render(found).startswith(f"document {first['seed_id']}\n   Thing ")
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "evolved from 8 documents" in card
    assert "Documents: texts.jsonl (8 rows)" in card
    again = await run_toy(config)
    assert again["requests"]["sent"] == 0
    assert read_dataset(tmp_path / "run") == rows


async def test_a_document_may_be_the_answer(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    await run_toy(documents(toy_config, tmp_path, "answers", stop={"rounds": 1}))
    rows = read_dataset(tmp_path / "run")
    assert len(rows) == 8
    assert all(row["input"] == "" and row["responder"] == "operator answers" for row in rows)
    assert rows[3]["output"] == "Thing 3 lies in the hall.\nIt is blue."


async def test_operators_for_instructions_leave_documents_alone(toy_config: Make, run_toy: Run, tmp_path: Path) -> None:
    summary = await run_toy(documents(toy_config, tmp_path, "constraints", stop={"rounds": 1}))
    assert summary["requests"]["sent"] == 0
    assert summary["rejected"] == {"extracted": 8}


async def test_a_person_sees_the_document(toy_config: Make, manager: PluginManager, tmp_path: Path) -> None:
    from evoagent.runs.driving import run_graph
    from evoagent.runs.opening import open_run

    config = documents(toy_config, tmp_path, "asks", stop={"rounds": 1}, review=True)
    asked: list[str] = []

    def answer(question: dict[str, Any]) -> str:
        asked.extend(item["parent"] for item in question["candidates"])
        return "rest"

    async with open_run(config, tmp_path, tmp_path / "run", manager) as context:
        await run_graph(context, answer)
    assert asked
    assert all(text.startswith("Thing ") for text in asked)


def test_documents_in_memory_and_a_dry_run(tmp_path: Path) -> None:
    config = {
        "models": {"evolver": {"engine": "scripted", "model": "toy"}},
        "evolver": {"operators": ["constraints"]},
        "seeds": {"path": "none", "form": "documents"},
    }
    run = evoagent.run(config, seeds=[{"text": "Salt keeps food."}], out=tmp_path / "run", rounds=1)
    assert run.summary["candidates"] == 1
    with pytest.raises(UserError, match="no column for the text of the documents; found `instruction`"):
        evoagent.run(config, seeds=[{"instruction": "Say hello."}], out=tmp_path / "other", rounds=1)


# -- testing a plugin that draws


async def test_what_a_plugin_under_test_draws_from() -> None:
    models = scripted_models(pool=SEEDS[1:], corpora={"queries": [*SEEDS]})
    evolution = await Drawing().evolve(SEEDS[0], models)
    assert len(evolution.data["members"]) == 3
    assert evolution.data["sizes"] == [len(SEEDS), len(SEEDS) - 1]
    models.close()


def test_a_tiny_run_with_documents_and_a_corpus() -> None:
    run = run_in_memory(Drawers(), operators=["asks", "drawing"], corpora={"queries": SEEDS}, seeds=DOCUMENTS)
    assert len(run.survivors) == len(DOCUMENTS)
    inputs = {candidate.input for candidate in run.survivors}
    assert inputs == {document.input for document in DOCUMENTS}

"""The graph as a server runs it: no context given, no blocking call in the event loop, runs opened and closed."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from blockbuster import blockbuster_ctx
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from evoagent.errors import EngineError
from evoagent.models.requests import GenerateRequest
from evoagent.studio import factory as studio
from evoagent.testing import Script


class Breaks(Script):
    """Dies at its first request, once."""

    broken = True

    def generate(self, request: GenerateRequest) -> str:
        if Breaks.broken:
            Breaks.broken = False
            raise EngineError("the engine is gone")
        return super().generate(request)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"Describe thing {n}.", "output": f"Thing {n} is blue."} for n in range(6)]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "name": "toy",
        "seeds": {"path": "seeds.jsonl"},
        "models": {
            "evolver": {"engine": "scripted", "model": "toy", "sampling": {"temperature": 0.7}},
            "embedder": {"engine": "scripted", "model": "toy"},
        },
        "evolver": {"operators": ["constraints", "deepening"], "style": "plain"},
        "critic": {"scorers": ["ifd", "ic_ifd", "instruction_loss", "length", "difficulty", "embedding_diversity"]},
        "eliminator": {
            "rules": [
                *("extracted", "truncated", "unchanged", "length_ratio", "repetition", "language", "missing_input"),
                *("template_leak", "not_an_instruction", "drift", "relevance", "no_information_gain", "refusal"),
                *("empty_response", "near_duplicate"),
            ],
            "selector": {"top": {"by": "length", "share": 0.5}},
        },
        "stop": {"rounds": 2},
    }
    file = tmp_path / "toy.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> studio.Sessions:
    found = studio.Sessions(idle_seconds=0.2)
    monkeypatch.setattr(studio, "sessions", found)
    return found


Serve = Callable[..., Any]


@pytest.fixture
def serve(path: Path, sessions: studio.Sessions) -> Serve:
    """Runs the graph as a server does: compiled by the factory, with the server's own checkpointer."""
    saver = InMemorySaver()

    async def run(given: Any, thread: str = "thread", **options: Any) -> tuple[Any, Any]:
        graph = studio.graph().copy(update={"checkpointer": saver})
        config: Any = {"configurable": {"thread_id": thread}}
        if isinstance(given, dict):
            given = {"config": str(path), "overrides": given}
        await graph.ainvoke(given, config, **options)
        return await graph.aget_state(config), graph

    return run


async def test_nothing_blocks_the_event_loop(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with blockbuster_ctx():
        state, _ = await serve({})
    assert state.next == ()
    assert state.values["candidates"] == 12
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert (Path(state.values["directory"]) / "dataset" / "train.jsonl").exists()


async def test_threads_do_not_meet(serve: Serve) -> None:
    first, second = await asyncio.gather(serve({}, "one"), serve({}, "two"))
    assert first[0].values["directory"] != second[0].values["directory"]
    assert first[0].values["survivors"] == second[0].values["survivors"]


async def test_a_run_that_waits_for_a_person_is_closed_after_a_while(serve: Serve, sessions: studio.Sessions) -> None:
    state, _ = await serve({"review": True, "critic.screen": False})
    assert state.next == ("eliminator",)
    assert len(sessions) == 1
    async with asyncio.timeout(10):
        while len(sessions):
            await asyncio.sleep(0.05)
    state, _ = await serve(Command(resume="rest"))
    assert state.interrupts[0].value["round"] == 2
    state, _ = await serve(Command(resume="rest"))
    assert state.next == ()
    assert len(sessions) == 0, "a finished run is closed at once"


async def test_a_failed_run_gives_its_directory_back(serve: Serve, sessions: studio.Sessions) -> None:
    Breaks.broken = True
    broken = {"models.evolver.options": {"script": f"{__name__}:Breaks"}}
    with pytest.raises(studio.RunError, match="the engine is gone"):
        await serve(broken)
    assert len(sessions) == 0
    state, _ = await serve(None)
    assert state.next == ()
    assert state.values["candidates"] == 12


async def test_a_cancelled_run_goes_on(serve: Serve, sessions: studio.Sessions) -> None:
    slow = {"models.evolver.options": {"delay": 0.3}}
    task = asyncio.ensure_future(serve(slow))
    await asyncio.sleep(0.8)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        while len(sessions):  # one that was still being opened is closed as soon as it is open
            await asyncio.sleep(0.05)
    state, _ = await serve(None)
    assert state.values["candidates"] == 12


async def test_wrong_input(serve: Serve) -> None:
    for wrong, said in (({"stop.round": 1}, "stop.round"), ({"evolver.operators": ["deepning"]}, "deepening")):
        with pytest.raises(studio.RunError, match=said):
            await serve(wrong)
    with pytest.raises(studio.RunError, match="expected a scenario"):
        await serve(Command(update={"config": 7}, goto="prepare"))


async def test_a_step_of_another_run_is_refused(serve: Serve, path: Path) -> None:
    state, graph = await serve({})
    dataset = Path(state.values["directory"]) / "dataset" / "train.jsonl"
    before = dataset.read_bytes()
    assert before
    async for old in graph.aget_state_history({"configurable": {"thread_id": "thread"}}):
        if old.next in (("evolver",), ("critic",), ("eliminator",), ("finish",)):
            with pytest.raises(studio.RunError, match="start it again with its input"):
                await graph.ainvoke(None, old.config)
    assert dataset.read_bytes() == before, "a finished dataset is left alone"


async def test_a_ledger_that_has_lost_its_end_is_refused(serve: Serve, sessions: studio.Sessions) -> None:
    state, _ = await serve({"review": True, "critic.screen": False})
    directory = Path(state.values["directory"])
    await sessions.close(directory)
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        ledger.execute("delete from candidates where position > 3")
        ledger.commit()
    with pytest.raises(studio.RunError, match="an older copy, or has lost its end"):
        await serve(Command(resume="rest"))
    state, _ = await serve({"review": True, "critic.screen": False})
    assert state.interrupts, "it starts again from the log"


async def test_a_configuration_that_changes_while_a_person_thinks(serve: Serve, path: Path) -> None:
    state, _ = await serve({"review": True, "critic.screen": False})
    first = state.interrupts[0].value["candidates"][0]["id"]
    text = path.read_text()
    path.write_text(text.replace("share: 0.5", "share: 0.25"))
    with pytest.raises(studio.RunError, match="configuration"):
        await serve(Command(resume={first: "keep"}))
    path.write_text(text)
    state, _ = await serve(None)
    assert state.next == ("eliminator",), "with the configuration as it was, it goes on"


async def test_ways_to_the_end_that_are_none(serve: Serve) -> None:
    state, graph = await serve({"review": True, "critic.screen": False})
    with pytest.raises(studio.RunError, match="not come to its end"):
        await serve(Command(goto="finish"))
    assert not (Path(state.values["directory"]) / "dataset").exists()
    config: Any = {"configurable": {"thread_id": "other"}}
    await graph.aupdate_state(config, {"round": "two", "run_id": "hacked"}, as_node="evolver")
    with pytest.raises(studio.RunError, match="round: found 'two'"):
        await graph.ainvoke(None, config)


async def test_events_are_on_the_record(serve: Serve) -> None:
    state, _ = await serve({"stop.rounds": 1})
    lines = (Path(state.values["directory"]) / "events.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["event"] for line in lines]
    assert kinds[0] == "RunStarted"
    assert {"NodeStarted", "NodeFinished", "RoundFinished", "RunFinished"} <= set(kinds)

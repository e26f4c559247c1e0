"""LangGraph's own development server with our graph, the default models, and nothing that needs a key or a network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SMALL = {"seeds.limit": 4, "stop.rounds": 1, "evolver.samples": 1}
SCRIPTED = SMALL | {  # where it is the server that is tested, and not what a model says
    "models.evolver": {"engine": "scripted", "model": "toy", "sampling": {"temperature": 0.7}},
    "models.embedder": {"engine": "scripted", "model": "toy"},
    "eliminator.rules": ["extracted", "unchanged"],
}


@dataclass
class Server:
    """A running `langgraph dev`."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path

    @property
    def client(self) -> SyncLangGraphClient:
        return get_sync_client(url=self.url, api_key=None, timeout=300)

    def libraries(self) -> str:
        """The shared libraries that the server and its children have loaded."""
        children = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        maps = [Path(f"/proc/{pid}/maps") for pid in [self.process.pid, *children]]
        return "".join(path.read_text() for path in maps if path.exists())

    def restart(self) -> None:
        """Stop it, and start another in its folder."""
        self.stop()
        other = start(self.folder)
        self.process, self.url = other.process, other.url

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return (self.folder / "server.log").read_text()


def start(folder: Path) -> Server:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = ("LANGSMITH", "LANGCHAIN", "LANGGRAPH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(keys)}
    # Whatever asks the network gets no answer.
    dead = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    environment |= dead | {
        "NO_PROXY": "127.0.0.1,localhost",
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "LANGGRAPH_NO_VERSION_CHECK": "1",
    }
    program = str(Path(sys.executable).parent / "langgraph")
    command = [program, "dev", "--no-browser", "--no-reload", "--port", str(port)]
    shutil.copy(ROOT / "langgraph.json", folder)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    server = Server(process, f"http://127.0.0.1:{port}", folder)
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{server.url}/ok").status_code == 200:
                return server
        except httpx.TransportError:
            time.sleep(0.25)
    process.kill()
    raise AssertionError(f"the server does not start:\n{server.log()}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = start(tmp_path_factory.mktemp("studio"))
    yield found
    found.stop()


@pytest.fixture
def ask(server: Server) -> Callable[..., Any]:
    """Runs the graph on a new thread, or goes on with one, to its end or next stop."""

    def run(overrides: dict[str, Any] | None = None, thread: str | None = None, **options: Any) -> tuple[str, Any]:
        client = server.client
        thread = thread or client.threads.create()["thread_id"]
        if overrides is not None:
            options["input"] = {"config": "quickstart", "overrides": overrides}
        client.runs.wait(thread, "evoagent", raise_error=False, **options)
        return thread, client.threads.get_state(thread)

    return run


def verdicts(state: Any) -> dict[str, tuple[int, str, str]]:
    with closing(sqlite3.connect(Path(state["values"]["directory"]) / "ledger.db")) as ledger:
        rows = ledger.execute("select candidate_id, kept, rule, detail from verdicts").fetchall()
    return {id: (kept, rule, detail) for id, kept, rule, detail in rows}


def dataset(state: Any) -> list[dict[str, Any]]:
    path = Path(state["values"]["directory"]) / "dataset" / "train.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_drawing_and_schemas_load_no_model(server: Server) -> None:
    client = server.client
    assistants = {assistant["graph_id"]: assistant for assistant in client.assistants.search()}
    assert assistants.keys() == {"evoagent", "evoagent-optimizer"}
    improving = client.assistants.get_graph(assistants["evoagent-optimizer"]["assistant_id"])
    assert ("optimizer", "evolver") in {(edge["source"], edge["target"]) for edge in improving["edges"]}
    assistant = assistants["evoagent"]
    drawing = client.assistants.get_graph(assistant["assistant_id"])
    nodes = [node["id"] for node in drawing["nodes"]]
    assert nodes == ["__start__", "prepare", "evolver", "critic", "eliminator", "finish", "__end__"]
    edges = {(edge["source"], edge["target"]) for edge in drawing["edges"]}
    assert {("eliminator", "evolver"), ("eliminator", "finish")} <= edges
    schemas = client.assistants.get_schemas(assistant["assistant_id"])
    for name in ("input_schema", "output_schema", "state_schema"):
        schema = schemas[name]  # type: ignore[literal-required]
        lacking = [key for key, value in schema["properties"].items() if not value.get("description")]
        assert not lacking, f"{name} describes no {lacking}"
    assert set(schemas["input_schema"]["properties"]) == {"config", "overrides"}
    assert "libtorch" not in server.libraries()


def test_pages_from_elsewhere_are_refused(server: Server) -> None:
    def post(origin: str | None, method: str = "POST") -> httpx.Response:
        headers = {"content-type": "text/plain"} | ({"origin": origin} if origin else {})
        if method == "OPTIONS":
            headers |= {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        return httpx.request(method, f"{server.url}/threads/search", content="{}", headers=headers)

    for foreign in ("https://evil.example", "null", "https://smith.langchain.com.evil.example", "http://[", "file://"):
        assert post(foreign).status_code == 403, foreign
    for known in (None, "https://smith.langchain.com", "http://localhost:3000", "http://127.0.0.1"):
        assert post(known).status_code == 200, known
    assert post("https://smith.langchain.com", "OPTIONS").status_code == 200


def test_a_run_shows_what_happened(server: Server) -> None:
    client = server.client
    thread = client.threads.create()["thread_id"]
    seen = []
    overrides = SMALL | {"stop.rounds": 2}
    for part in client.runs.stream(
        thread, "evoagent", input={"config": "quickstart", "overrides": overrides}, stream_mode="updates"
    ):
        assert part.event != "error", part.data
        seen += list(part.data) if part.event == "updates" else []
    assert seen == ["prepare", *["evolver", "critic", "eliminator"] * 2, "finish"]
    state = client.threads.get_state(thread)
    values: Any = state["values"]
    assert values["candidates"] == values["survivors"] + sum(values["rejected"].values()) == 8
    assert values["stop_reason"] == "2 rounds"
    assert len(dataset(state)) == values["survivors"] == values["summary"]["survivors"] > 0
    history = client.threads.get_history(thread, limit=20)
    assert max(len(json.dumps(item["values"])) for item in history) < 16_000, "nothing large in the state"
    after_round: Any = [item["values"] for item in history if item["next"] in (["evolver"], ["finish"])]
    assert sorted(item["last_round"]["round"] for item in after_round if item["last_round"]) == [1, 2]
    for item in after_round:
        for row in item["previews"]:
            assert set(row) >= {"operator", "parent", "evolved"}
            assert "verdict" in row or not item["last_round"]
    assert "Blocking call" not in server.log()


def test_a_reviewed_run(ask: Callable[..., Any]) -> None:
    thread, state = ask(SMALL | {"seeds.limit": 8, "review": True})
    assert state["next"] == ["eliminator"]
    question = state["tasks"][0]["interrupts"][0]["value"]
    shown = question["candidates"]
    assert len(shown) >= 3, "the tiny model has written something"
    assert all(item["parent"] and item["evolved"] and item["response"] and item["scores"] for item in shown)
    keep, reject, edit = (item["id"] for item in shown[:3])

    _, state = ask(thread=thread, command={"resume": {keep: "perhaps"}})
    question = state["tasks"][0]["interrupts"][0]["value"]
    assert "keep" in str(question["problems"]), "a wrong answer is said to be wrong, and asked for again"

    answer = {
        keep: "keep",
        reject: {"decision": "reject", "reason": "nobody asks this"},
        edit: {"decision": "edit", "instruction": "Name three old trees of Europe, and where each of them stands."},
    }
    _, state = ask(thread=thread, command={"resume": answer})
    assert state["next"] == []
    found = verdicts(state)
    assert found[keep][:2] == (1, "review")
    assert found[reject] == (0, "review", "nobody asks this")
    assert found[edit][0] == 0
    (row,) = [row for row in dataset(state) if row["operator"] == "review"]
    assert row["instruction"] == answer[edit]["instruction"]  # type: ignore[index]
    assert row["output"], "what a person wrote is answered as well"
    assert row["id"] in found[edit][2]


def test_stopped_before_the_eliminator_from_outside(ask: Callable[..., Any], server: Server) -> None:
    thread, state = ask(SCRIPTED, interrupt_before=["eliminator"])
    assert state["next"] == ["eliminator"]
    with closing(sqlite3.connect(Path(state["values"]["directory"]) / "ledger.db")) as ledger:
        (first,) = ledger.execute(
            "select id from candidates where id not in (select candidate_id from verdicts) limit 1"
        ).fetchone()
    server.client.threads.update_state(thread, {"review": {first: {"decision": "reject", "reason": "by hand"}}})
    _, state = ask(thread=thread, input=None)
    assert state["next"] == []
    assert verdicts(state)[first] == (0, "review", "by hand")


def test_wrong_input_is_explained(server: Server) -> None:
    client = server.client
    for overrides, said in (({"stop.round": 1}, "rounds"), ({"seeds.limit": "many"}, "seeds.limit")):
        thread = client.threads.create()["thread_id"]
        answer: Any = client.runs.wait(
            thread, "evoagent", input={"config": "quickstart", "overrides": overrides}, raise_error=False
        )
        assert said in answer["__error__"]["message"], answer


def test_another_threshold_in_the_same_thread_asks_no_model(ask: Callable[..., Any]) -> None:
    thread, first = ask(SCRIPTED)
    assert first["values"]["summary"]["requests"]["sent"] > 0
    best = {"eliminator.selector": {"top": {"by": "ic_ifd", "count": 1}}}
    _, second = ask(SCRIPTED | best, thread=thread)
    assert second["values"]["directory"] == first["values"]["directory"]
    assert (second["values"]["survivors"], second["values"]["candidates"]) == (1, 4)
    assert second["values"]["summary"]["requests"]["sent"] == 0


def test_a_run_outlives_its_server(ask: Callable[..., Any], server: Server) -> None:
    before: Any
    thread, before = ask(SCRIPTED, interrupt_before=["eliminator"])
    server.restart()
    after: Any = ask(thread=thread, input=None)[1]
    assert before["next"] == ["eliminator"]
    assert after["next"] == []
    assert after["values"]["run_id"] == before["values"]["run_id"]
    assert len(dataset(after)) == after["values"]["survivors"]

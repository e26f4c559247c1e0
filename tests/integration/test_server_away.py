"""A server that goes away in mid-run, and one that quotes the key: real runs, with everything that they leave."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from evoagent.config.model import RunConfig
from evoagent.errors import EngineError
from evoagent.models.dispatcher import RetryPolicy


class Handler(BaseHTTPRequestHandler):
    """Answers chats by a hash of the prompt; counts down `left` and then drops every connection."""

    left = 10**9
    served = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Handler.left -= 1
        if Handler.left < 0:
            self.connection.close()
            return
        Handler.served += 1
        digits = int(hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:6], 16)
        text = f"{body['messages'][-1]['content']} Then name {digits} more."
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        answer = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
        payload = json.dumps(answer | {"choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


async def test_a_server_that_goes_away_and_comes_back(
    toy_config: Callable[..., RunConfig],
    run_toy: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(RetryPolicy.__init__, "__defaults__", (3, 0.05, 0.1))
    options = {"base_url": f"http://127.0.0.1:{server.server_address[1]}/v1", "concurrency": 4}
    role = {"engine": "openai", "model": "m", "options": options, "sampling": {"temperature": 0.7}}
    config = toy_config(models={"evolver": role}, stop={"rounds": 2})
    try:
        whole = await run_toy(config, tmp_path / "whole")
        before = Handler.served
        Handler.left = 20
        with pytest.raises(EngineError, match="run the same command again to go on"):
            await run_toy(config, tmp_path / "broken")
        Handler.left = 10**9
        resumed = await run_toy(config, tmp_path / "broken")
        assert Handler.served - before == before, "what was answered before the outage is not asked again"
    finally:
        server.shutdown()
    files = [tmp_path / name / "dataset" / "train.jsonl" for name in ("whole", "broken")]
    assert files[0].read_bytes() == files[1].read_bytes()
    for key in ("candidates", "survivors", "rejected"):
        assert resumed[key] == whole[key]


class Counting(BaseHTTPRequestHandler):
    """Answers chats as a busy server does: the first attempt at every `refuses`th prompt is refused."""

    protocol_version = "HTTP/1.1"
    refuses = 0

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:  # type: ignore[attr-defined]
            self.server.seen[raw] += 1  # type: ignore[attr-defined]
        time.sleep(0.02)
        number = int(hashlib.sha256(raw).hexdigest()[:6], 16)
        if self.refuses and number % self.refuses == 0 and self.server.seen[raw] == 1:  # type: ignore[attr-defined]
            return self._say(503, {"error": {"message": "too busy"}})
        text = f"Describe thing {number} of the museum, and then name {number % 100} more."
        message = {"role": "assistant", "content": text}
        return self._say(200, {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})

    def do_GET(self) -> None:
        self._say(200, {"data": []})

    def _say(self, status: int, answer: Any) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def counting() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    server.seen, server.lock = Counter(), threading.Lock()  # type: ignore[attr-defined]
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def write_run(folder: Path, seeds: int, options: dict[str, Any]) -> None:
    """Write `toy.yaml` and its seeds."""
    (folder / "seeds.jsonl").write_text(
        "".join(json.dumps({"instruction": f"Describe thing {n}.", "output": "Blue."}) + "\n" for n in range(seeds))
    )
    role = {"engine": "openai", "model": "m", "options": options, "sampling": {"temperature": 0.7}}
    config = {
        "name": "toy",
        "seeds": {"path": "seeds.jsonl"},
        "models": {"evolver": role},
        "evolver": {"operators": ["constraints"], "style": "plain"},
        "critic": {"scorers": ["length"]},
        "stop": {"rounds": 1},
    }
    (folder / "toy.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def test_a_killed_run_asks_again_only_for_what_was_on_its_way(counting: ThreadingHTTPServer, tmp_path: Path) -> None:
    seen: Counter[bytes] = counting.seen  # type: ignore[attr-defined]
    address = f"http://127.0.0.1:{counting.server_port}/v1"
    write_run(tmp_path, 150, {"base_url": address, "concurrency": 8})
    command = [sys.executable, "-m", "evoagent", "run", "toy.yaml", "--json", "--out"]
    for moment in (60, 220):  # while candidates are made, and while they are answered
        process = subprocess.Popen(
            [*command, "killed"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while seen.total() < moment and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    done = subprocess.run([*command, "killed"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    again = seen.total() - len(seen)
    assert again <= 2 * (8 + 12), "what ran when it was killed, and a few answers that were not written yet"
    seen.clear()
    subprocess.run([*command, "whole"], cwd=tmp_path, capture_output=True, timeout=120, check=True)
    files = [tmp_path / name / "dataset" / "train.jsonl" for name in ("whole", "killed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_requests_that_are_sent_again_are_counted_and_told_of(
    counting: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counting, "refuses", 5)
    seen: Counter[bytes] = counting.seen  # type: ignore[attr-defined]
    write_run(tmp_path, 80, {"base_url": f"http://127.0.0.1:{counting.server_port}/v1"})
    command = [sys.executable, "-c", RUN, "run", "toy.yaml", "--json", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    retried = seen.total() - len(seen)
    assert retried > 10
    assert json.loads(done.stdout)["requests"] == {"sent": len(seen), "cached": 0, "retried": retried}
    told = [line for line in done.stderr.splitlines() if "failed for now and are sent again" in line]
    assert len(told) == 1
    assert told[0].endswith("the last: the server answered 503: too busy")
    events = [json.loads(line) for line in (tmp_path / "out/events.jsonl").read_text().splitlines()]
    assert sum(event["retried"] for event in events if event["event"] == "NodeFinished") == retried


KEY = "sk-0a1B/2c3D+4e5F6g7H"
# A run by the command line, but without its long waits between attempts.
RUN = """
import sys
from evoagent.cli.app import main
from evoagent.models.dispatcher import RetryPolicy
RetryPolicy.__init__.__defaults__ = (3, 0.02, 0.05)
main()
"""


class Echo(BaseHTTPRequestHandler):
    """Answers 200, and quotes the Authorization header in all that it says: first in faults, then in a text."""

    faults = 2  # of each prompt, before it is answered

    def do_GET(self) -> None:
        self._say({"data": [], "headers": dict(self.headers)})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt, quoted = json.dumps(body["messages"]), self.headers["Authorization"]
        count = self.server.seen[prompt] = self.server.seen.get(prompt, -1) + 1  # type: ignore[attr-defined]
        number = int(hashlib.sha256(prompt.encode()).hexdigest()[:6], 16)
        faults = [{"error": f"refused: {quoted}"}, {"choices": [], "you": quoted}, f"<h1>{quoted}</h1>"]
        text = None if number % 3 == 0 else f"Describe thing {number} in {number % 20} words to {quoted}."
        answer = {"choices": [{"finish_reason": f"stop {quoted}", "message": {"content": text}}]}
        self._say(faults[number % 3] if count < self.faults else answer)

    def _say(self, answer: Any) -> None:
        payload = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.seen = {}  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def evoagent(
    folder: Path, command: str, options: dict[str, Any], *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, on a configuration with these options of the engine."""
    write_run(folder, 12, options)
    return subprocess.run(
        [sys.executable, "-c", RUN, command, "toy.yaml", *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key != "EVOAGENT_OPENAI_BASE_URL"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def left_by(done: subprocess.CompletedProcess[str], folder: Path) -> dict[str, bytes]:
    """Everything that a command said or wrote, by where it is."""
    said = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    return said | {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("login", ["key", "password"])
@pytest.mark.parametrize("faults", [2, 99])
def test_a_server_that_quotes_the_key_spreads_it_nowhere(
    echo: ThreadingHTTPServer, faults: int, login: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Echo, "faults", faults)
    address = f"http://127.0.0.1:{echo.server_port}/v1"
    if login == "key":
        done = evoagent(tmp_path, "run", {"base_url": address, "api_key_env": "TOY_KEY"}, "--out", "out", TOY_KEY=KEY)
        secrets = [KEY, KEY.replace("/", "\\/"), KEY[3:], b64encode(KEY.encode()).decode()[:20]]
    else:
        url = address.replace("//", "//me:hush4ever@")
        done = evoagent(tmp_path, "run", {}, "--out", "out", EVOAGENT_OPENAI_BASE_URL=url)
        secrets = ["hush4ever", b64encode(b"me:hush4ever").decode().rstrip("=")]
    left = left_by(done, tmp_path / "out")
    assert [
        (secret, where) for where, content in left.items() for secret in secrets if secret.encode() in content
    ] == []
    if faults == 2:
        assert done.returncode == 0, done.stderr
        rows = (tmp_path / "out/dataset/train.jsonl").read_text()
        assert "***" in rows, "the texts have come through, masked"
        assert any(b"finish_reason" in content and b"***" in content for content in left.values()), "and the reasons"
    else:
        assert done.returncode == 1, done.stdout
        assert "***" in done.stderr
        assert "failed 3 times" in done.stderr


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_password_in_the_configuration_is_refused_and_told_nowhere(command: str, tmp_path: Path) -> None:
    options = {"concurrency": 2, "base_url": "http://user:hush4ever@127.0.0.1:9/v1"}
    done = evoagent(tmp_path, command, options)
    written = (tmp_path / "toy.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(written, 1) if "base_url" in text)
    assert done.returncode == 2
    assert f"toy.yaml:{line}: models.evolver.options.base_url: holds a user or a password" in done.stderr
    assert "EVOAGENT_OPENAI_BASE_URL" in done.stderr
    assert "hush4ever" not in done.stdout + done.stderr
    assert "user:" not in done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"seeds.jsonl", "toy.yaml"}

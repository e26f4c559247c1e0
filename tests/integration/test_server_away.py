"""A server that goes away in mid-run, and one that quotes the key: real runs, with everything that they leave."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from evoagent.config import RunConfig
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
    (folder / "seeds.jsonl").write_text(
        "".join(json.dumps({"instruction": f"Describe thing {n}.", "output": "Blue."}) + "\n" for n in range(12))
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

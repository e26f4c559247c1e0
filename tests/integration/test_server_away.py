"""A server that goes away in mid-run: a clear error, everything so far kept, and the run goes on when it is back."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

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

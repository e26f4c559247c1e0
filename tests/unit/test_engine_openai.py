"""The `openai` engine against a real HTTP server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evoagent.config import ModelConfig
from evoagent.errors import ConfigError, EngineError, RequestError, TransientError
from evoagent.models.engines.openai import OpenAIEngine, OpenAIOptions
from evoagent.models.engines.openai_wire import retry_after
from evoagent.models.requests import Completion, EmbedRequest, GenerateRequest, Loss, LossRequest, Sampling

pytestmark = pytest.mark.asyncio

SOURCE: Any = SimpleNamespace(name="tiny", path="tiny", revision=None, licence=None, parameters=None, local=False)
HELLO = GenerateRequest(messages=(("user", "hello"),), sampling=Sampling(0.7, 0.9, 64, ("END",)), seed=2**62 + 5)


def chat(content: Any = "hi", finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content, **more}, "finish_reason": finish}]}


class Server(ThreadingHTTPServer):
    """Answers every POST with `answer(path, body)`: (status, headers, payload) or bytes to write as they are."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answer: Callable[[str, dict[str, Any]], Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._reply(200, {}, {"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.seen.append((self.path, body, dict(self.headers)))
            self.server.busy += 1
            self.server.most_busy = max(self.server.most_busy, self.server.busy)
        try:
            answer = self.server.answer(self.path, body)
        finally:
            with self.server.lock:
                self.server.busy -= 1
        if isinstance(answer, bytes):
            self.wfile.write(answer)
            self.close_connection = True
        else:
            self._reply(*answer)

    def _reply(self, status: int, headers: dict[str, str], payload: Any) -> None:
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@asynccontextmanager
async def serving(
    answer: Callable[[str, dict[str, Any]], Any], **options: Any
) -> AsyncIterator[tuple[OpenAIEngine, Server]]:
    server = Server(answer)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    engine = OpenAIEngine(
        ModelConfig(engine="openai", model="tiny"), SOURCE, OpenAIOptions(base_url=server.url, **options)
    )
    try:
        await engine.start()
        yield engine, server
    finally:
        await engine.close()
        server.shutdown()
        server.server_close()


def replay(*answers: Any) -> Callable[[str, dict[str, Any]], Any]:
    queue = iter(answers)
    return lambda path, body: next(queue)


async def ask(engine: OpenAIEngine, request: GenerateRequest = HELLO) -> Any:
    return (await engine.generate([request]))[0]


async def test_chat_sends_all_of_the_sampling_and_reads_the_answer() -> None:
    body = chat("Hi there", "length", reasoning_content="hm") | {"usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    async with serving(lambda *_: (200, {}, body)) as (engine, server):
        assert await ask(engine) == Completion("Hi there", "length", 7, 2)
        path, sent, _ = server.seen[0]
    assert path == "/v1/chat/completions"
    assert 0 <= sent.pop("seed") < 2**31
    assert sent == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 64,
        "stop": ["END"],
    }


async def test_plain_text_goes_to_completions_and_a_greedy_or_seedless_request_has_no_seed() -> None:
    async with serving(lambda *_: (200, {}, {"choices": [{"text": "x"}]}), supports_seed=False) as (engine, server):
        assert await ask(engine, GenerateRequest(text="once", sampling=Sampling(0.5))) == Completion("x")
        assert await ask(engine, GenerateRequest(text="once")) == Completion("x")
    assert [path for path, _, _ in server.seen] == ["/v1/completions"] * 2
    assert all(sent["prompt"] == "once" and "seed" not in sent for _, sent, _ in server.seen)


async def test_rate_limit_carries_the_time_to_wait() -> None:
    later = formatdate(time.time() + 90, usegmt=True)
    async with serving(
        replay(
            (429, {"Retry-After": "3.5"}, {"error": {"message": "slow down"}}),
            (503, {"Retry-After": later}, b"<html>busy</html>"),
            (500, {}, {"error": {"message": "boom"}}),
            (200, {}, chat("ok")),
        )
    ) as (engine, server):
        first, second, third = [await ask(engine) for _ in range(3)]
        assert isinstance(first, TransientError)
        assert first.retry_after == 3.5
        assert "slow down" in str(first)
        assert isinstance(second, TransientError)
        assert 80 < (second.retry_after or 0) <= 90
        assert isinstance(third, TransientError)
        assert third.retry_after is None
        assert await ask(engine) == Completion("ok")
        assert len(server.seen) == 4  # the client itself has not retried


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("-3", 0), ("1e12", 3600), ("nan", None), ("inf", None), ("soon", None), ("", None), ("\ud800", None)],
)
async def test_retry_after_is_bounded(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_request_is_its_own_failure(status: int) -> None:
    refusal = {"error": {"message": "context of 4096 tokens, you sent 5000"}}
    async with serving(lambda *_: (status, {}, refusal)) as (engine, _):
        outcome = await ask(engine)
    assert isinstance(outcome, RequestError)
    assert "you sent 5000" in str(outcome)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refused_key_or_model_stops_everything_without_telling_the_key(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_KEY", "sk-very-secret")
    said = {"error": {"message": "no access to tiny with sk-very-secret"}}
    async with serving(lambda *_: (status, {}, said), api_key_env="TINY_KEY") as (engine, server):
        with pytest.raises(EngineError, match="no access to tiny") as caught:
            await ask(engine)
        headers = {name.lower(): value for name, value in server.seen[0][2].items()}
    assert headers["authorization"] == "Bearer sk-very-secret"
    assert "sk-very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "payload",
    [
        b"<html>gateway</html>",
        b"",
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b"[]",
        b'"text"',
        {},
        {"choices": []},
        {"choices": None},
        {"choices": {"0": 1}},
        {"choices": [7]},
        {"error": {"message": "upstream"}},
    ],
)
async def test_garbage_may_pass(payload: Any) -> None:
    async with serving(lambda *_: (200, {}, payload)) as (engine, _):
        assert isinstance(await ask(engine), TransientError)


@pytest.mark.parametrize(
    "payload",
    [
        chat(None),
        chat(None, "length"),
        chat(17),
        chat(["text"]),
        chat("", "content_filter"),
        {"choices": [{"message": None}]},
        {"choices": [{"message": "hi"}]},
        {"choices": [{}]},
        chat("x" * 1_000_000),
    ],
)
async def test_an_answer_without_a_usable_text_is_a_failed_request(payload: Any) -> None:
    async with serving(lambda *_: (200, {}, payload)) as (engine, _):
        assert isinstance(await ask(engine), RequestError)


@pytest.mark.parametrize("usage", [None, 3, {"prompt_tokens": "many"}, {"prompt_tokens": -4}, {"prompt_tokens": 1e99}])
async def test_odd_figures_and_characters_are_tolerated(usage: Any) -> None:
    body = chat("a\ud800b\x00c", {"odd": 1}) | {"usage": usage}
    async with serving(lambda *_: (200, {}, body)) as (engine, _):
        outcome = await ask(engine)
    assert outcome == Completion("a?b\ufffdc", "stop", 0, 0)
    outcome.text.encode()


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evoagent.models.engines.openai_wire.MAX_BODY", 100_000)
    async with serving(lambda *_: (200, {}, b" " * 5_000_000)) as (engine, _):
        outcome = await ask(engine)
    assert isinstance(outcome, RequestError)
    assert "100000 bytes" in str(outcome)


async def test_dropped_connections_may_pass() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
    async with serving(replay(b"", half, b"nonsense\r\n\r\n", (200, {}, chat()))) as (engine, _):
        for _ in range(3):
            assert isinstance(await ask(engine), TransientError)
        assert await ask(engine) == Completion("hi")


async def test_a_slow_answer_times_out_and_frees_its_slot() -> None:
    release = threading.Event()

    def answer(path: str, body: dict[str, Any]) -> Any:
        if body["messages"][0]["content"] == "slow":
            release.wait(10)
        return 200, {}, chat()

    async with serving(answer, timeout_s=0.2, concurrency=1) as (engine, _):
        slow = GenerateRequest(messages=(("user", "slow"),))
        outcomes = await asyncio.gather(ask(engine, slow), ask(engine))
        release.set()
    assert isinstance(outcomes[0], TransientError)
    assert "0.2 s" in str(outcomes[0])
    assert outcomes[1] == Completion("hi")


async def test_the_server_never_sees_more_than_the_limit() -> None:
    def answer(path: str, body: dict[str, Any]) -> Any:
        time.sleep(0.02)
        return 200, {}, chat(body["messages"][0]["content"])

    async with serving(answer, concurrency=4) as (engine, server):
        requests = [GenerateRequest(messages=(("user", str(i)),)) for i in range(40)]
        outcomes = await engine.generate(requests)
    assert [outcome.text for outcome in outcomes if isinstance(outcome, Completion)] == [str(i) for i in range(40)]
    assert 2 <= server.most_busy <= 4
    assert engine.lanes["generate"].parallel == 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_no_server_at_the_start_is_said_at_once_without_the_password() -> None:
    options = OpenAIOptions(base_url=f"http://me:hush@127.0.0.1:{free_port()}/v1")
    engine = OpenAIEngine(ModelConfig(engine="openai", model="tiny"), SOURCE, options)
    with pytest.raises(EngineError, match="no server answers") as caught:
        await engine.start()
    assert "hush" not in str(caught.value)
    await engine.close()


async def test_a_server_that_goes_away_may_come_back() -> None:
    async with serving(lambda *_: (200, {}, chat())) as (engine, server):
        assert await ask(engine) == Completion("hi")
        server.shutdown()
        server.server_close()
        outcomes = await engine.generate([HELLO] * 3)
    # One kept-alive connection may still be served; the rest find nobody.
    assert sum(isinstance(outcome, TransientError) for outcome in outcomes) >= 2


async def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVOAGENT_OPENAI_BASE_URL", raising=False)
    model = ModelConfig(engine="openai", model="tiny")
    with pytest.raises(ConfigError, match="EVOAGENT_OPENAI_BASE_URL"):
        OpenAIEngine(model, SOURCE, OpenAIOptions())
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        OpenAIEngine(model, SOURCE, OpenAIOptions(base_url="http://x/v1", api_key_env="NO_SUCH_KEY"))
    with pytest.raises(ConfigError, match="https"):
        OpenAIEngine(model, SOURCE, OpenAIOptions(base_url="localhost:8000"))
    monkeypatch.setenv("EVOAGENT_OPENAI_BASE_URL", "http://x/v1")
    engine = OpenAIEngine(model, SOURCE, OpenAIOptions())
    assert engine.capabilities == {"generate"}
    with pytest.raises(EngineError, match="start it first"):
        await engine.generate([HELLO])


async def test_capabilities_follow_the_options() -> None:
    options = OpenAIOptions(base_url="http://x/v1", loss="echo", embed=True)
    engine = OpenAIEngine(ModelConfig(engine="openai", model="tiny"), SOURCE, options)
    assert engine.capabilities == set(engine.lanes) == {"generate", "loss", "embed"}


async def test_embeddings_are_unit_vectors_in_order_and_a_bad_text_fails_alone() -> None:
    def answer(path: str, body: dict[str, Any]) -> Any:
        texts = body["input"]
        if "too long" in texts:
            return 400, {}, {"error": {"message": "too many tokens"}}
        rows = [{"index": i, "embedding": [3.0 + int(text), 4.0]} for i, text in enumerate(texts)]
        return 200, {}, {"data": rows[::-1], "usage": {"prompt_tokens": 2 * len(texts)}}

    async with serving(answer, embed=True) as (engine, server):
        first, second = await engine.embed([EmbedRequest("0"), EmbedRequest("1")])
        mixed = await engine.embed([EmbedRequest("0"), EmbedRequest("too long")])
    assert not isinstance(first, Exception)
    assert not isinstance(second, Exception)
    np.testing.assert_allclose(first.vector, [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(second.vector, np.array([4, 4]) / math.sqrt(32), rtol=1e-6)
    assert first.vector.dtype == np.float32
    assert first.prompt_tokens == 2
    assert server.seen[0][1]["encoding_format"] == "float"
    assert not isinstance(mixed[0], Exception)
    assert isinstance(mixed[1], RequestError)


@pytest.mark.parametrize(
    "vector", [[], [0.0, 0.0], [1.0, "x"], [[1.0], [2.0]], "AAAA", None, [1e308, 1e308], [float("nan")]]
)
async def test_an_embedding_that_is_no_vector_is_refused(vector: Any) -> None:
    async with serving(lambda *_: (200, {}, {"data": [{"index": 0, "embedding": vector}]}), embed=True) as (engine, _):
        assert isinstance((await engine.embed([EmbedRequest("a")]))[0], RequestError)


def bytes_server(path: str, body: dict[str, Any]) -> Any:
    """A vLLM whose tokens are bytes and whose every token costs one nat more than its position."""
    if path == "/tokenize":
        text = body.get("prompt", "") or "".join(f"<u>{turn['content']}<a>" for turn in body.get("messages", ()))
        return 200, {}, {"tokens": list(text.encode())}
    if path == "/detokenize":
        return 200, {}, {"prompt": bytes(body["tokens"]).decode()}
    rows = [None] + [
        {str(token): {"logprob": -float(i)}, "999": {"logprob": -0.1}} for i, token in enumerate(body["prompt"]) if i
    ]
    return 200, {}, {"choices": [{"text": "x", "prompt_logprobs": rows}]}


async def test_loss_by_prompt_logprobs() -> None:
    async with serving(bytes_server, loss="vllm-prompt-logprobs") as (engine, server):
        raw, alone, chatty, empty = await engine.loss(
            [
                LossRequest("abc", "xy"),
                LossRequest("abc", per_token=True),
                LossRequest("no", "hi", convention="chat"),
                LossRequest("", ""),
            ]
        )
    # x y \n a b c: the joiner counts with the target, the first token has no loss.
    assert raw == Loss(2.0 + 3 + 4 + 5, 4, 1.0, 1, False, 6)
    assert alone == Loss(1.0 + 2, 2, 0.0, 0, False, 3, tokens=(1.0, 2.0))
    # < u > h i < a > n o: the template around the context is not scored.
    assert chatty == Loss(8.0 + 9, 2, 3.0 + 4, 2, False, 10)
    assert empty == Loss(0.0, 0)
    assert {path for path, _, _ in server.seen} == {"/tokenize", "/detokenize", "/v1/completions"}


@pytest.mark.parametrize(
    "rows", [None, [], [None] * 6, [None] + [{"1": {"logprob": -1}}] * 5, [None] + [{"97": {"logprob": "x"}}] * 5, 4]
)
async def test_prompt_logprobs_that_do_not_fit_are_refused(rows: Any) -> None:
    def answer(path: str, body: dict[str, Any]) -> Any:
        return bytes_server(path, body) if path == "/tokenize" else (200, {}, {"choices": [{"prompt_logprobs": rows}]})

    async with serving(answer, loss="vllm-prompt-logprobs") as (engine, _):
        assert isinstance((await engine.loss([LossRequest("abc", "xy")]))[0], RequestError)


async def test_loss_by_echo_puts_the_boundary_by_offsets() -> None:
    def answer(tokens: list[str]) -> Any:
        offsets = [sum(map(len, tokens[:i])) for i in range(len(tokens))]
        values = [None] + [-float(i) for i in range(1, len(tokens))]
        columns = {"tokens": tokens, "token_logprobs": values, "text_offset": offsets}
        return 200, {}, {"choices": [{"text": "…", "logprobs": columns}]}

    answers = replay(
        answer(["x", "y", "\n", "abc", "more"]),
        answer(["x", "y\n", "abc", "more"]),
        answer(["<s>", "xy", "\nabc", "!"]),
    )
    async with serving(answers, loss="echo") as (engine, _):
        outcomes = [(await engine.loss([LossRequest("abc", "xy")]))[0] for _ in range(3)]
        with pytest.raises(EngineError, match="convention raw"):
            await engine.loss([LossRequest("abc", "xy", convention="chat")])
    assert outcomes == [
        Loss(5.0, 2, 1.0, 1, False, 4),
        Loss(2.0, 1, 1.0, 1, True, 3),
        Loss(2.0, 1, 1.0, 1, False, 3),
    ]


@pytest.mark.parametrize("logprobs", [None, {}, 5, {"tokens": ["a"], "token_logprobs": [], "text_offset": [0]}])
async def test_a_server_without_echo_is_refused(logprobs: Any) -> None:
    async with serving(lambda *_: (200, {}, {"choices": [{"logprobs": logprobs}]}), loss="echo") as (engine, _):
        assert isinstance((await engine.loss([LossRequest("abc", "xy")]))[0], RequestError)

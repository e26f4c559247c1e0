"""The `openai` engine against a real HTTP server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import re
import socket
import threading
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from evoagent.config.model import ModelConfig
from evoagent.errors import ConfigError, EngineError, RequestError, TransientError
from evoagent.models.engines.openai import OpenAIEngine, OpenAIOptions
from evoagent.models.engines.openai_wire import retry_after
from evoagent.models.requests import (
    Choice,
    ChooseRequest,
    Completion,
    EmbedRequest,
    GenerateRequest,
    Loss,
    LossRequest,
    Sampling,
)

pytestmark = pytest.mark.asyncio

SOURCE: Any = SimpleNamespace(name="tiny", path="tiny", revision=None, licence=None, parameters=None, local=False)
HELLO = GenerateRequest(messages=(("user", "hello"),), sampling=Sampling(0.7, 0.9, 64, ("END",)), seed=2**62 + 5)


def chat(content: Any = "hi", finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content, **more}, "finish_reason": finish}]}


class Server(ThreadingHTTPServer):
    """Answers every POST with `answer(path, body)`: (status, headers, payload) or bytes to write as they are.

    What it answers to the list of models is `models`.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answer: Callable[[str, dict[str, Any]], Any], models: Any = (200, {}, {"data": []})) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.models = answer, models
        self.listed = 0
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
        self.server.listed += 1
        self._answer(self.server.models)

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
        self._answer(answer)

    def _answer(self, answer: Any) -> None:
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
    answer: Callable[[str, dict[str, Any]], Any],
    models: Any = (200, {}, {"data": []}),
    url: Callable[[Server], str | None] = lambda server: server.url,
    **options: Any,
) -> AsyncIterator[tuple[OpenAIEngine, Server]]:
    server = Server(answer, models)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    engine = OpenAIEngine(
        ModelConfig(engine="openai", model="tiny"), SOURCE, OpenAIOptions(base_url=url(server), **options)
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


@pytest.mark.parametrize("packed", [False, True])
async def test_an_endless_answer_is_cut_off(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evoagent.models.engines.openai_wire.MAX_BODY", 100_000)
    blank = b" " * 5_000_000
    answer = (200, {"Content-Encoding": "gzip"}, gzip.compress(blank)) if packed else (200, {}, blank)
    async with serving(lambda *_: answer) as (engine, _):
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


async def test_no_server_at_the_start_is_said_at_once_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("EVOAGENT_OPENAI_BASE_URL", f"http://me:hush@127.0.0.1:{port}/v1")
    engine = OpenAIEngine(ModelConfig(engine="openai", model="tiny"), SOURCE, OpenAIOptions())
    with pytest.raises(EngineError, match=f"no server answers at http://127.0.0.1:{port}/v1") as caught:
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
    for wrong in ("localhost:8000", "ftp://x/v1", "http:///v1", "http://x:port/v1", "http://[::1/v1"):
        with pytest.raises(ConfigError, match="https"):
            OpenAIEngine(model, SOURCE, OpenAIOptions(base_url=wrong))
    monkeypatch.setenv("NO_ASCII_KEY", "sk-sécret-1234")
    with pytest.raises(ConfigError, match="NO_ASCII_KEY") as caught:
        OpenAIEngine(model, SOURCE, OpenAIOptions(base_url="http://x/v1", api_key_env="NO_ASCII_KEY"))
    assert "cret" not in str(caught.value)
    monkeypatch.setenv("EVOAGENT_OPENAI_BASE_URL", "http://x/v1")
    engine = OpenAIEngine(model, SOURCE, OpenAIOptions())
    assert engine.capabilities == {"generate", "choose"}
    with pytest.raises(EngineError, match="start it first"):
        await engine.generate([HELLO])


async def test_capabilities_follow_the_options() -> None:
    options = OpenAIOptions(base_url="http://x/v1", loss="echo", embed=True)
    engine = OpenAIEngine(ModelConfig(engine="openai", model="tiny"), SOURCE, options)
    assert engine.capabilities == set(engine.lanes) == {"generate", "loss", "embed", "choose"}


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
        raw, alone, chatty, whole, empty = await engine.loss(
            [
                LossRequest("abc", "xy"),
                LossRequest("abc", per_token=True),
                LossRequest("no", "hi", convention="chat"),
                LossRequest("no", convention="chat", messages=(("system", "s"), ("user", "hi"))),
                LossRequest("", ""),
            ]
        )
    # x y \n a b c: the joiner counts with the target, the first token has no loss.
    assert raw == Loss(2.0 + 3 + 4 + 5, 4, 1.0, 1, False, 6)
    assert alone == Loss(1.0 + 2, 2, 0.0, 0, False, 3, tokens=(1.0, 2.0))
    # < u > h i < a > n o: the template around the context is not scored.
    assert chatty == Loss(8.0 + 9, 2, 3.0 + 4, 2, False, 10)
    # < u > s < a > < u > h i < a > n o: of a whole chat only the reply is scored.
    assert whole == Loss(15.0 + 16, 2, 0.0, 0, False, 17)
    assert empty == Loss(0.0, 0)
    assert {path for path, _, _ in server.seen} == {"/tokenize", "/detokenize", "/v1/completions"}


def first_token(**probabilities: float) -> dict[str, Any]:
    """A chat completion of one token, with the probabilities of those that it may be."""
    rows = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in probabilities.items()]
    logprobs = {"content": [{**rows[0], "top_logprobs": rows}]}
    body = {"choices": [{"message": {"content": "Yes"}, "finish_reason": "length", "logprobs": logprobs}]}
    return body | {"usage": {"prompt_tokens": 11, "completion_tokens": 1}}


async def choose(body: Any, *choices: str) -> Any:
    async with serving(lambda *_: (200, {}, body)) as (engine, _):
        return (await engine.choose([ChooseRequest((("user", "Well?"),), choices)]))[0]


async def test_answers_are_weighed_by_the_tokens_that_begin_them() -> None:
    chat = (("system", "Be brief."), ("user", "Well?"))
    body = first_token(**{"Yes": 0.4, " Yes": 0.1, "Ye": 0.05, "Yes.": 0.05, "No": 0.2, "Yesterday": 0.1, "\n": 0.1})
    async with serving(lambda *_: (200, {}, body)) as (engine, server):
        [choice] = await engine.choose([ChooseRequest(chat, ("Yes", "No", "Perhaps"))])
    assert isinstance(choice, Choice)
    assert choice.probabilities == pytest.approx({"Yes": 0.75, "No": 0.25, "Perhaps": 0.0})
    assert (choice.best, choice.prompt_tokens) == ("Yes", 11)
    [(path, sent, _)] = server.seen
    assert path == "/v1/chat/completions"
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Well?"}]
    wanted = {"temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}
    assert {name: sent[name] for name in wanted} == wanted


async def test_an_answer_that_another_begins_with_has_a_token_of_its_own_or_is_refused() -> None:
    numbers = first_token(**{"1": 0.3, "10": 0.6, "9": 0.1})
    assert (await choose(numbers, "1", "9", "10")).probabilities == pytest.approx({"1": 0.3, "9": 0.1, "10": 0.6})
    for body, choices in [
        (first_token(**{"1": 0.9, "9": 0.1}), ("1", "9", "10")),
        (first_token(very=0.9, Good=0.1), ("very good", "very bad")),
    ]:
        refused = await choose(body, *choices)
        assert isinstance(refused, RequestError)
        assert "begin with the same token" in str(refused)


@pytest.mark.parametrize(
    "body",
    [
        first_token(Well=0.9, I=0.1),
        chat("Yes"),
        chat("Yes") | {"choices": [{"logprobs": {"content": [{"token": "Yes", "logprob": 0.0, "top_logprobs": []}]}}]},
        {"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": "Yes", "logprob": None}, 3, {}]}]}}]},
    ],
)
async def test_what_tells_nothing_of_the_answers_is_refused(body: Any) -> None:
    assert isinstance(await choose(body, "Yes", "No"), RequestError)


async def test_improbable_answers_are_still_compared() -> None:
    rows = [{"token": "Hm", "logprob": 0.0}, {"token": "Yes", "logprob": -900.0}, {"token": "No", "logprob": -901.0}]
    body = {"choices": [{"logprobs": {"content": [{"top_logprobs": rows}]}}]}
    assert (await choose(body, "Yes", "No")).probabilities["Yes"] == pytest.approx(1 / (1 + math.exp(-1)))


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


KEY = "sk-9F8e/7D6c+5B4a"
CORE = "9F8e7D6c5B4a"  # what is left of it in whatever spelling
ESCAPED = "".join(f"\\u{ord(char):04X}" for char in KEY)


def shows_key(text: str) -> bool:
    """Whether a key can be read in `text`, whatever the punctuation between its parts."""
    plain = re.sub(r"\\+u00([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), text)
    return CORE in re.sub(r"[^a-zA-Z0-9]", "", plain) or b64encode(KEY.encode()).decode()[:20] in text


async def leak(answer: Any, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    """All that comes out of the engine when a server quotes the key."""
    monkeypatch.setenv("TINY_KEY", KEY)
    asks_loss = options.get("loss", "none") != "none"
    async with serving(lambda *_: answer, api_key_env="TINY_KEY", **options) as (engine, server):
        try:
            outcome = (await engine.loss([LossRequest("abc", "xy")]))[0] if asks_loss else await ask(engine)
        except EngineError as error:
            outcome = error
        headers = {name.lower(): value for name, value in server.seen[0][2].items()}
    assert headers["authorization"] == f"Bearer {KEY}"
    return repr(outcome)


@pytest.mark.parametrize(
    ("answer", "around"),
    [
        ((200, {}, {"error": f"no model for Authorization: Bearer {KEY}"}), "no model for Authorization: Bearer ***"),
        ((200, {}, {"error": {"message": "no", "headers": {"authorization": KEY}}}), "'***'"),
        ((200, {}, {"choices": [], "request": {"headers": [f"Bearer {KEY}"]}}), "Bearer ***"),
        ((200, {}, f"<html>Bearer {KEY} is refused</html>".encode()), "<html>Bearer *** is refused</html>"),
        ((200, {}, b"\xff" + KEY.encode()), "***"),
        ((200, {}, chat(None, f"refused {KEY}")), "refused ***"),
        ((200, {}, chat(f"I am {KEY}, at your service.")), "I am ***, at your service."),
        ((400, {}, {"error": {"message": f"who is {KEY}?"}}), "who is ***?"),
        ((401, {}, f"no access with {KEY}".encode()), "no access with ***"),
        ((503, {}, {"detail": f"Bearer {KEY}"}), "Bearer ***"),
        ((301, {"Location": f"https://elsewhere/?key={KEY}"}, b""), "https://elsewhere/?key=***"),
        (f"HTTP/1.1 {KEY} OK\r\n\r\n".encode(), "***"),
        (f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode(), "***"),
    ],
)
async def test_a_quoted_key_is_masked_wherever_it_comes_in(
    answer: Any, around: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = await leak(answer, monkeypatch)
    assert not shows_key(outcome)
    assert around in outcome


@pytest.mark.parametrize(
    "spelled",
    [
        KEY.replace("/", "\\/"),
        KEY.replace("+", "\\u002B"),
        ESCAPED,
        json.dumps(ESCAPED)[1:-1],
        b64encode(KEY.encode()).decode(),
        b64encode(KEY.encode()).decode().rstrip("="),
    ],
)
async def test_a_quoted_key_is_masked_in_every_spelling(spelled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for payload in (
        '{"choices": [{"message": {"content": "Oh, %s."}}]}',
        '{"error": "Oh, %s."}',
        '{"choices": [], "key": "Oh, %s."}',
        "Oh, %s.",
    ):
        outcome = await leak((200, {}, (payload % spelled).encode()), monkeypatch)
        assert not shows_key(outcome)
        assert re.search(r"Oh, \*\*\*=*\.", outcome)


@pytest.mark.parametrize(
    "payload", [{"error": KEY}, {"tokens": KEY}, {"detail": [KEY]}, f"Bearer {KEY}".encode(), [KEY]]
)
async def test_a_key_that_the_tokenizer_quotes_is_masked(payload: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not shows_key(await leak((200, {}, payload), monkeypatch, loss="vllm-prompt-logprobs"))


@pytest.mark.parametrize("quoted", [KEY, ESCAPED, b64encode(KEY.encode()).decode()])
async def test_a_key_that_the_list_of_models_quotes_is_masked(quoted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_KEY", KEY)
    for models in ((401, {}, f'{{"error": "no {quoted}"}}'.encode()), f"HTTP/1.1 {KEY}\r\n\r\n".encode()):
        with pytest.raises(EngineError, match=r"\*\*\*") as caught:
            async with serving(lambda *_: None, models, api_key_env="TINY_KEY"):
                pytest.fail("it has started")
        assert not shows_key(str(caught.value))


async def test_a_key_that_is_a_common_word_is_masked_as_a_header_has_it_and_texts_keep_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TINY_KEY", "1\n")
    answers = replay((200, {}, chat("1 and 1 is 11")), (200, {}, {"error": "Authorization: Bearer 1"}))
    async with serving(answers, api_key_env="TINY_KEY") as (engine, server):
        assert await ask(engine) == Completion("1 and 1 is 11")
        assert str(await ask(engine)).endswith("Authorization: ***")
    assert server.seen[0][2]["Authorization"] == "Bearer 1"


@pytest.mark.parametrize(
    ("login", "plain", "spellings"),
    [
        (
            "me:hush%2F%C3%BC%40ever",
            "me:hush/ü@ever",
            ["hush/ü@ever", "hush\\/\\u00fc@ever", "me:hush%2F%C3%BC%40ever"],
        ),
        ("hush-1234", "hush-1234:", ["hush-1234"]),
        ('me:h"u\\sh', 'me:h"u\\sh', ['h\\"u\\\\sh', "h\\u0022u\\u005csh"]),
    ],
)
async def test_a_login_of_the_environment_is_sent_as_basic_and_shown_nowhere(
    login: str, plain: str, spellings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def url(server: Server) -> None:
        monkeypatch.setenv("EVOAGENT_OPENAI_BASE_URL", server.url.replace("//", f"//{login}@"))

    monkeypatch.setenv("TINY_KEY", KEY)
    basic = b64encode(plain.encode()).decode()
    said = [f"Basic {basic}", KEY, *spellings]
    answers = replay(*((200, {}, f'{{"error": "no, {text}"}}'.encode()) for text in said))
    async with serving(answers, url=url, api_key_env="TINY_KEY") as (engine, server):
        outcomes = [str(await ask(engine)) for _ in said]
    assert server.seen[0][2]["Authorization"] == f"Basic {basic}"
    assert all(re.search(r"\*\*\*=*$", outcome) for outcome in outcomes), outcomes
    assert not any(word in str(outcomes) for word in ("hush", "sh", basic.rstrip("="), KEY))


@pytest.mark.parametrize(
    "wrong", ["http://me:hu/sh@x/v1", "http://me:12/sh@x/v1", "me:hush@x:80/v1", "ftp://me:hush@x", "http://me:hush@"]
)
async def test_an_address_that_cannot_be_read_is_told_without_its_password(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOAGENT_OPENAI_BASE_URL", wrong)
    with pytest.raises(ConfigError, match="EVOAGENT_OPENAI_BASE_URL of engine `openai` is no address") as caught:
        OpenAIEngine(ModelConfig(engine="openai", model="tiny"), SOURCE, OpenAIOptions())
    assert not re.search("hu|sh|12", str(caught.value))
    with pytest.raises(ValidationError, match="in the environment variable EVOAGENT_OPENAI_BASE_URL") as refused:
        OpenAIOptions(base_url=wrong)
    assert not re.search("hush|sh@", str(refused.value))


async def test_a_redirect_is_refused_and_what_it_leads_to_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_KEY", KEY)
    async with serving(lambda *_: (200, {}, chat())) as (_, other):
        before = other.listed
        there = {"Location": f"{other.url}/chat/completions"}
        for status in (301, 302, 303, 307, 308):
            answer = (status, there, b"")
            async with serving(lambda *_, answer=answer: answer, answer, api_key_env="TINY_KEY") as (engine, _):
                with pytest.raises(EngineError, match=f"answered {status}, see {other.url}"):
                    await ask(engine)
        assert (other.seen, other.listed) == ([], before)


async def test_the_proxy_of_the_environment_is_used_and_its_password_masked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine model.invalid login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))  # not ours to send

    def url(server: Server) -> str:
        monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:proxyhush@").removesuffix("/v1"))
        return "http://model.invalid/v1"

    login = b64encode(b"me:proxyhush").decode()
    answers = replay((200, {}, chat()), (407, {}, f"proxyhush is Basic {login}".encode()))
    async with serving(answers, url=url) as (engine, server):
        assert await ask(engine) == Completion("hi")
        refused = await ask(engine)
    assert str(refused) == "the server answered 407: *** is Basic ***"
    path, _, headers = server.seen[0]
    assert path == "http://model.invalid/v1/chat/completions"
    assert (headers["Proxy-Authorization"], headers["Authorization"]) == (f"Basic {login}", "Bearer EMPTY")

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with serving(lambda *_: (200, {}, chat())) as (engine, server):
        assert await ask(engine) == Completion("hi")
    assert server.seen[0][0] == "/v1/chat/completions"


async def test_connections_are_kept() -> None:
    ports = set()
    async with serving(lambda *_: (200, {}, chat()), concurrency=2) as (engine, server):
        verify = server.verify_request
        server.verify_request = lambda request, address: bool(ports.add(address)) or verify(request, address)  # type: ignore[method-assign]
        for _ in range(5):
            await engine.generate([HELLO] * 4)
    assert len(server.seen) == 20
    assert len(ports) <= 2

"""The `openai` engine: any server of the OpenAI protocol, such as `vllm serve`, llama.cpp or Ollama."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from evoagent.config.model import ModelConfig, Strict
from evoagent.errors import ConfigError, EngineError, RequestError, TransientError
from evoagent.models.concurrency import BusyError, ElasticLane
from evoagent.models.engines import openai_wire as wire
from evoagent.models.engines.base import Engine, Lane
from evoagent.models.engines.gather import gather_each
from evoagent.models.engines.http import HttpServer
from evoagent.models.engines.scoring_text import PLACEHOLDER, ScoringIds, cut_ids, scoring_text, to_loss, user_turn
from evoagent.models.requests import (
    Choice,
    ChooseRequest,
    Completion,
    Embedding,
    EmbedRequest,
    GenerateRequest,
    Loss,
    LossRequest,
    Turns,
    Verb,
)

if TYPE_CHECKING:
    from evoagent.models.sources.resolve import ResolvedModel

BASE_URL_VARIABLE = "EVOAGENT_OPENAI_BASE_URL"
_PROBE_S = 10.0
_to_json = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` makes an encoder a call


class OpenAIOptions(Strict):
    """Options of the `openai` engine.

    Attributes:
        base_url: the server, up to and with `/v1`; by default what EVOAGENT_OPENAI_BASE_URL says, which may also hold
            a user and a password: `https://USER:PASSWORD@HOST/v1`.
        api_key_env: name of the environment variable that holds the key; the key itself is written nowhere.
        concurrency: requests at the server at once, at most. How many there are is found while the run goes on: more as
            long as that brings more answers a second, half as many when the server refuses with 429 or 503, or does
            not answer in time.
        timeout_s: seconds for one request, from sending it to its last byte.
        supports_seed: send each request's seed; turn it off for a server that refuses the field. `vllm serve` on a CPU
            crashes on seeded prompts that it takes in pieces: start it with `--no-enable-chunked-prefill`.
        loss: how the server scores a prompt: vLLM's `prompt_logprobs`, the older `echo`, or not at all. With the first,
            answers are chosen by the loss of all their tokens; else by the likeliest 20 tokens that begin a reply,
            which cannot tell answers apart that begin with the same token.
        embed: the server has `/v1/embeddings` for this model.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"base_url": "http://localhost:8000/v1"}]}, hide_input_in_errors=True
    )

    base_url: str | None = None
    api_key_env: str | None = None
    concurrency: int = Field(256, ge=1, le=4096)
    timeout_s: float = Field(300.0, gt=0)
    supports_seed: bool = True
    loss: Literal["none", "vllm-prompt-logprobs", "echo"] = "none"
    embed: bool = False

    @field_validator("api_key_env")
    @classmethod
    def _no_key(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
            raise ValueError("expected the name of an environment variable in capitals, such as OPENAI_API_KEY")
        return name

    @field_validator("base_url")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        if url is not None and "@" in url:
            raise ValueError(
                "holds a user or a password, which the run directory would keep; "
                f"give the address in the environment variable {BASE_URL_VARIABLE} instead"
            )
        return url


class OpenAIEngine(Engine):
    """A model behind a server. Retries are the dispatcher's."""

    def __init__(self, model: ModelConfig, source: ResolvedModel, options: OpenAIOptions) -> None:
        self._options = options
        self._name = model.model or source.name
        url = options.base_url or os.environ.get(BASE_URL_VARIABLE)
        if not url:
            raise ConfigError(
                f"model {self._name!r} with engine `openai` has no server: expected options.base_url, such as "
                f"http://localhost:8000/v1, or the environment variable {BASE_URL_VARIABLE}"
            )
        try:
            self._server = HttpServer(url, self._read_key(), options.timeout_s)
        except ValueError as error:
            name = "base_url" if options.base_url else BASE_URL_VARIABLE
            raise ConfigError(f"{name} of engine `openai` {error}") from None
        self._url = self._server.url
        self.identity = f"{source.name}@{source.revision or 'server'}:{model.dtype}:openai"
        self.parameters = source.parameters
        self.licence = source.licence
        lane = ElasticLane(batch=1, parallel=options.concurrency)
        self.lanes: dict[Verb, Lane] = {"generate": lane}
        if options.loss != "none":
            self.lanes["loss"] = lane
        if options.loss != "vllm-prompt-logprobs":  # by which it chooses better
            self.lanes["choose"] = lane
        if options.embed:
            self.lanes["embed"] = ElasticLane(batch=64, parallel=options.concurrency)
        self.capabilities = frozenset(self.lanes)
        self._slots = asyncio.Semaphore(options.concurrency)
        self._frame: str | None = None

    async def start(self) -> None:
        """See that a server answers at all.

        Raises:
            EngineError: nothing listens at the address, or the server refuses the key.
        """
        await self._server.open()
        try:
            reply = await self._server.ask(f"{self._url}/models", limit=wire.MAX_BODY, timeout_s=_PROBE_S)
        except (TimeoutError, RequestError):
            return  # slow is not dead, nor is talkative: the first request will show
        except ConnectionError as error:
            said = wire.show(str(error))
            raise EngineError(f"no server answers at {self._url}: {said}. Start it, or correct base_url") from error
        if reply.status in (401, 403):  # no list of models is no fault: some servers have none
            raise wire.status_error(reply.status, reply.headers, wire.said(reply.body))

    async def close(self) -> None:
        """Close the connections."""
        with contextlib.suppress(Exception):
            await self._server.close()

    async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
        """Complete each prompt: a chat by /chat/completions, a plain text by /completions."""
        return await gather_each(requests, self._complete)

    async def loss(self, requests: Sequence[LossRequest]) -> list[Loss | Exception]:
        """Score each target in the way that `options.loss` names."""
        return await gather_each(requests, self._echo if self._options.loss == "echo" else self._score)

    async def choose(self, requests: Sequence[ChooseRequest]) -> list[Choice | Exception]:
        """Tell by the first token of a reply how likely each answer is."""
        return await gather_each(requests, self._choose)

    async def embed(self, requests: Sequence[EmbedRequest]) -> list[Embedding | Exception]:
        """Embed all texts in one call; if the server refuses that, each alone."""
        try:
            return await self._embed(requests)
        except RequestError as error:
            if len(requests) == 1:
                return [error]
            outcomes = await gather_each(requests, lambda request: self._embed([request]))
            return [outcome[0] if isinstance(outcome, list) else outcome for outcome in outcomes]

    async def _complete(self, request: GenerateRequest) -> Completion:
        sampling = request.sampling
        body: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if self._options.supports_seed and sampling.temperature > 0:
            body["seed"] = request.seed & 0x7FFFFFFF  # some servers hold it in 32 bits
        chat = bool(request.messages)
        if chat:
            body["messages"] = [{"role": role, "content": content} for role, content in request.messages]
        elif request.text:
            body["prompt"] = request.text
        else:
            raise RequestError("the prompt is empty: expected messages or a text")
        answer = await self._ask("/chat/completions" if chat else "/completions", body)
        return wire.parse_completion(answer, chat=chat, max_tokens=sampling.max_tokens)

    async def _choose(self, request: ChooseRequest) -> Choice:
        body = {
            "messages": [{"role": role, "content": content} for role, content in request.messages],
            "temperature": 0,
            "max_tokens": 1,
            "logprobs": True,
            "top_logprobs": wire.TOP_TOKENS,
        }
        return wire.parse_choice(await self._ask("/chat/completions", body), request)

    async def _embed(self, requests: Sequence[EmbedRequest]) -> list[Embedding | Exception]:
        body = {"input": [request.text for request in requests], "encoding_format": "float"}
        answer = await self._ask("/embeddings", body)
        return wire.parse_embeddings(answer, len(requests))

    async def _score(self, request: LossRequest) -> Loss:
        """Tokenise at the server, by the rules that hold for all engines, and score the tokens."""
        scoring = await self._scoring_ids(request)
        losses: list[float | None] = []
        if scoring.target or scoring.context:
            body = {"prompt": scoring.ids, "temperature": 0, "max_tokens": 1, "prompt_logprobs": 0}
            answer = await self._ask("/completions", body)
            losses = wire.parse_prompt_logprobs(answer, scoring)
        return to_loss(scoring, losses, per_token=request.per_token)

    async def _echo(self, request: LossRequest) -> Loss:
        if request.convention != "raw":
            raise EngineError("a server scored by `echo` has no chat template: expected convention raw")
        text = scoring_text(request, lambda turns: "").text
        if not text:
            return Loss(target_sum=0.0, target_tokens=0)
        body = {"prompt": text, "temperature": 0, "max_tokens": 1, "echo": True, "logprobs": 1}
        answer = await self._ask("/completions", body)
        return wire.parse_echo(answer, request, text)

    async def _scoring_ids(self, request: LossRequest) -> ScoringIds:
        rendered: dict[Turns, str] = {}
        if request.messages:
            rendered = {request.messages: await self._render(request.messages)}
        elif request.convention == "chat":
            frame, turn = user_turn(PLACEHOLDER), user_turn(request.context)
            if self._frame is None:
                self._frame = await self._render(frame)
            rendered = {frame: self._frame, turn: await self._render(turn)}
        layout = scoring_text(request, rendered.__getitem__)
        texts = {layout.text, *(layout.text[:cut] for cut in layout.cuts)} - {""}
        lists = await asyncio.gather(*(self._tokenize(text, special=layout.special) for text in texts))
        ids = dict(zip(texts, lists, strict=True)) | {"": []}
        return cut_ids(ids[layout.text], [ids[layout.text[:cut]] for cut in layout.cuts])

    async def _tokenize(self, text: str, *, special: bool) -> list[int]:
        return wire.parse_ids(await self._ask_vllm("/tokenize", {"prompt": text, "add_special_tokens": special}))

    async def _render(self, turns: Turns) -> str:
        """A chat in the model's chat template, as text, up to where the reply begins."""
        messages = [{"role": role, "content": content} for role, content in turns]
        chat = {"messages": messages, "add_generation_prompt": True}
        tokens = wire.parse_ids(await self._ask_vllm("/tokenize", chat))
        text = (await self._ask_vllm("/detokenize", {"tokens": tokens})).get("prompt")
        if not isinstance(text, str):
            raise TransientError(f"/detokenize sent {type(text).__name__}; expected a text under `prompt`")
        return text

    async def _ask_vllm(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post to one of vLLM's own paths, which lie beside `/v1`."""
        return await self._ask(path, body, self._url.removesuffix("/v1"))

    async def _ask(self, path: str, body: dict[str, Any], base: str | None = None) -> dict[str, Any]:
        """Post `body` when one of the slots is free; every failure is one of ours."""
        if not self._server.is_open:
            raise EngineError(f"the openai engine of {self._name} is not running: start it first")
        content = _to_json({"model": self._name} | body).encode()
        async with self._slots:
            try:
                reply = await self._server.ask((base or self._url) + path, content, limit=wire.MAX_BODY)
            except TimeoutError as error:
                raise BusyError(str(error)) from error
            except ConnectionError as error:
                raise TransientError(f"cannot reach {self._url}: {wire.show(str(error))}") from error
        if reply.status >= 300:
            raise wire.status_error(reply.status, reply.headers, wire.said(reply.body))
        return wire.parse_body(reply.body)

    def _read_key(self) -> str | None:
        variable = self._options.api_key_env
        if variable is None:
            return None
        key = os.environ.get(variable, "").strip()
        if not key:
            raise ConfigError(f"the environment variable {variable}, named by api_key_env, is not set")
        if not key.isascii() or not key.isprintable():
            raise ConfigError(
                f"the environment variable {variable}, named by api_key_env, holds no key: expected ASCII"
            )
        return key

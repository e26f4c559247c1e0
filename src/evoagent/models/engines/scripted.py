"""An engine that answers from a script: for logic, never for a claim about quality or speed."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from evoagent.config.model import ModelConfig, Strict
from evoagent.errors import ConfigError
from evoagent.models.engines.base import Engine, Lane
from evoagent.models.requests import (
    Choice,
    ChooseRequest,
    Completion,
    Embedding,
    EmbedRequest,
    GenerateRequest,
    Loss,
    LossRequest,
    Verb,
)

if TYPE_CHECKING:
    from evoagent.models.sources.resolve import ResolvedModel

DIMENSIONS = 64


class Script:
    """What a scripted engine answers. Subclass it to change a verb; raise to make a request fail.

    All answers are pure functions of the request, so scripted runs are deterministic.
    """

    def generate(self, request: GenerateRequest) -> str:
        """Continue the prompt's <task>, or its last line, with a requirement that depends on the request's seed."""
        prompt = request.text or request.messages[-1][1]
        _, tag, task = prompt.rpartition("<task>")
        text = (task.partition("</task>")[0] if tag else prompt).strip().splitlines()
        number = request.seed % 9973 or int(hashlib.sha256("".join(text).encode()).hexdigest()[:3], 16)
        return f"{text[-1] if text else ''} Use exactly {number} words and name a source."

    def loss(self, request: LossRequest) -> Loss:
        """Between 1 and 4 nats a word, by the text alone."""
        target = request.target.split()
        context = " ".join([request.context, *(content for _, content in request.messages)]).split()
        return Loss(
            target_sum=sum(_nats(word) for word in target) * (0.8 if context else 1.0),
            target_tokens=len(target),
            context_sum=sum(_nats(word) for word in context[1:]),
            context_tokens=max(len(context) - 1, 0),
            prompt_tokens=len(target) + len(context),
        )

    def choose(self, request: ChooseRequest) -> Mapping[str, float]:
        """The weight of each answer, by a hash of prompt and answer; they need not sum to 1."""
        prompt = "\n".join(content for _, content in request.messages)
        return {choice: 1 / _nats(f"{prompt}\n{choice}") for choice in request.choices}

    def embed(self, request: EmbedRequest) -> Embedding:
        """A bag of hashed character trigrams: similar texts are near each other."""
        vector = np.zeros(DIMENSIONS, dtype=np.float32)
        text = f"  {request.text.lower()}  "
        for start in range(len(text) - 2):
            vector[zlib.crc32(text[start : start + 3].encode()) % DIMENSIONS] += 1
        norm = float(np.linalg.norm(vector)) or 1.0
        return Embedding(vector / np.float32(norm), len(request.text.split()))


def _nats(word: str) -> float:
    return 1 + 3 * (zlib.crc32(word.encode()) % 1000) / 1000


class ScriptedOptions(Strict):
    """Options of the scripted engine."""

    script: str | None = Field(None, description="a Script subclass as module:Class; None is the plain Script")
    batch: int = Field(64, ge=1, description="requests a call")
    delay: float = Field(0.0, ge=0, description="seconds a call")


class ScriptedEngine(Engine):
    """Runs a `Script` as if it were a model. `sent` counts the requests that reached it, by verb."""

    capabilities: frozenset[Verb] = frozenset({"generate", "loss", "embed", "choose"})

    def __init__(
        self,
        model: ModelConfig | None = None,
        source: ResolvedModel | None = None,
        options: ScriptedOptions | None = None,
        script: Script | None = None,
    ) -> None:
        options = options or ScriptedOptions()
        self.identity = f"{source.name if source else 'scripted'}:scripted"
        self.script = script or _load(options.script)
        self.sent: dict[str, int] = dict.fromkeys(("generate", "loss", "embed", "choose"), 0)
        self.lanes = {verb: Lane(batch=options.batch, parallel=4) for verb in self.capabilities}
        self._delay = options.delay

    async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
        """Complete by the script; tokens are words."""
        return await self._answer("generate", requests, self._complete)

    async def loss(self, requests: Sequence[LossRequest]) -> list[Loss | Exception]:
        """Score by the script."""
        return await self._answer("loss", requests, self.script.loss)

    async def embed(self, requests: Sequence[EmbedRequest]) -> list[Embedding | Exception]:
        """Embed by the script."""
        return await self._answer("embed", requests, self.script.embed)

    async def choose(self, requests: Sequence[ChooseRequest]) -> list[Choice | Exception]:
        """Weigh by the script."""
        return await self._answer("choose", requests, self._weigh)

    def _complete(self, request: GenerateRequest) -> Completion:
        text = self.script.generate(request)
        return Completion(text, "stop", request.size // 5, len(text.split()))

    def _weigh(self, request: ChooseRequest) -> Choice:
        return Choice(self.script.choose(request), request.size // 5)

    async def _answer(self, verb: Verb, requests: Sequence[Any], answer: Any) -> list[Any]:
        await asyncio.sleep(self._delay)
        self.sent[verb] += len(requests)
        outcomes: list[Any] = []
        for request in requests:
            try:
                outcomes.append(answer(request))
            except Exception as error:
                outcomes.append(error)
        return outcomes


def _load(script: str | None) -> Script:
    if script is None:
        return Script()
    module, _, name = script.partition(":")
    try:
        made: Script = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"script: found {script!r}, expected module:Class of a Script ({error})") from error
    return made

"""Requests to models and their results: plain values, hashed into the keys of the request log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Message: TypeAlias = Mapping[str, str]
"""A chat turn: {"role": "system" | "user" | "assistant", "content": text}."""

Verb = Literal["generate", "loss", "embed"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy; `max_tokens` is always sent: engines differ in its default."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Continue a chat (`messages`) or, where `text` is set, a plain text.

    Attributes:
        draw: which of several independent draws of the same prompt this is; "" at temperature 0, where all are alike.
        seed: randomness of this request alone, derived by the dispatcher from the run's seed and the request's key.
    """

    messages: tuple[tuple[str, str], ...] = ()
    text: str = ""
    sampling: Sampling = Sampling()
    draw: str = ""
    seed: int = 0

    @property
    def size(self) -> int:
        """Characters of prompt: what batches are sorted by."""
        return len(self.text) + sum(len(content) for _, content in self.messages)


@dataclass(frozen=True, slots=True)
class LossRequest:
    """Negative log-likelihood of `target` after `context`, in one forward pass over both.

    With convention "raw" the text is context + joiner + target, tokenised once as a whole; the boundary is the number
    of tokens of the context alone. With "chat" the context is a user turn in the model's chat template and
    the target the assistant's reply.
    """

    target: str
    context: str = ""
    joiner: str = "\n"
    convention: Literal["raw", "chat"] = "raw"
    per_token: bool = False

    @property
    def size(self) -> int:
        """Characters scored: what batches are sorted by."""
        return len(self.context) + len(self.target)


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Embed one text."""

    text: str

    @property
    def size(self) -> int:
        """Characters: what batches are sorted by."""
        return len(self.text)


Request: TypeAlias = GenerateRequest | LossRequest | EmbedRequest


@dataclass(frozen=True, slots=True)
class Completion:
    """Generated text. `finish_reason` is "stop" or "length"."""

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Loss:
    """Summed negative log-likelihoods in nats, of the target and of the context before it.

    The first token of a text has no loss unless the tokenizer prepends a BOS, so `target_tokens` and `context_tokens`
    count the *scored* tokens.

    Attributes:
        merged: a token straddles the boundary of context and target, so the boundary is only approximate.
        tokens: per-token losses of the target, float32, if the request asked for them.
    """

    target_sum: float
    target_tokens: int
    context_sum: float = 0.0
    context_tokens: int = 0
    merged: bool = False
    prompt_tokens: int = 0
    tokens: tuple[float, ...] = ()

    @property
    def mean(self) -> float | None:
        """L(target | context): nats per scored token; None if no token is scored."""
        return self.target_sum / self.target_tokens if self.target_tokens else None

    @property
    def context_mean(self) -> float | None:
        """L(context): nats per scored token; None if no token is scored."""
        return self.context_sum / self.context_tokens if self.context_tokens else None


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A unit vector of shape (dimensions,), float32."""

    vector: NDArray[np.float32]
    prompt_tokens: int = 0


Result: TypeAlias = Completion | Loss | Embedding


def verb_of(request: Request) -> Verb:
    """The verb that answers `request`."""
    if isinstance(request, GenerateRequest):
        return "generate"
    return "loss" if isinstance(request, LossRequest) else "embed"


def request_key(request: Request, model: str, run_seed: int) -> str:
    """The content address of `request` to `model` (a name with its revision and precision).

    The run's seed is part of it only where it matters: a greedy completion, a loss and an embedding are
    the same in every run.
    """
    content: dict[str, Any] = asdict(request)
    content.pop("seed", None)
    if isinstance(request, GenerateRequest) and request.sampling.temperature > 0:
        content["run_seed"] = run_seed
    text = json.dumps([verb_of(request), model, content], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def request_seed(key: str, run_seed: int) -> int:
    """The 63-bit seed of one request, derived from its key and the run's seed."""
    digest = hashlib.sha256(f"{run_seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

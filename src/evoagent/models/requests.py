"""Requests to models and their results: plain values, hashed into the keys of the request log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Verb = Literal["generate", "loss", "embed", "choose"]

Turns: TypeAlias = tuple[tuple[str, str], ...]
"""A chat as (role, text) pairs."""


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

    verb: ClassVar[Verb] = "generate"

    messages: Turns = ()
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

    Attributes:
        messages: with "chat", the turns before the reply instead of a context; they are read, and not scored.
    """

    verb: ClassVar[Verb] = "loss"

    target: str
    context: str = ""
    joiner: str = "\n"
    convention: Literal["raw", "chat"] = "raw"
    per_token: bool = False
    messages: Turns = ()

    @property
    def size(self) -> int:
        """Characters read: what batches are sorted by."""
        return len(self.context) + len(self.target) + sum(len(content) for _, content in self.messages)


@dataclass(frozen=True, slots=True)
class ChooseRequest:
    """How likely each of `choices` is as the reply to a chat, compared with the others."""

    verb: ClassVar[Verb] = "choose"

    messages: Turns
    choices: tuple[str, ...]

    @property
    def size(self) -> int:
        """Characters of prompt and answers: what batches are sorted by."""
        return sum(len(content) for _, content in self.messages) + sum(map(len, self.choices))


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Embed one text."""

    verb: ClassVar[Verb] = "embed"

    text: str

    @property
    def size(self) -> int:
        """Characters: what batches are sorted by."""
        return len(self.text)


Request: TypeAlias = GenerateRequest | LossRequest | EmbedRequest | ChooseRequest


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


@dataclass(frozen=True, slots=True)
class Choice:
    """How likely each of the given answers is.

    Attributes:
        probabilities: by answer, in the order in which they were given; they sum to 1 over these answers alone.
        prompt_tokens: that were read to tell.
    """

    probabilities: Mapping[str, float]
    prompt_tokens: int = 0

    @property
    def best(self) -> str:
        """The likeliest answer; of equals the first."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def expectation(self, values: Mapping[str, float] | None = None) -> float:
        """The mean of `values` under the probabilities, as for a grade that is no whole number.

        Args:
            values: of each answer; by default the answers are numbers themselves, such as "1" to "5".

        Raises:
            KeyError, ValueError: an answer has no value.
        """
        return sum(p * (float(name) if values is None else values[name]) for name, p in self.probabilities.items())


Result: TypeAlias = Completion | Loss | Embedding | Choice


def can_answer(verbs: Collection[str], verb: str) -> bool:
    """Whether an engine with `verbs` can answer `verb`: with losses it can choose too."""
    return verb in verbs or (verb == "choose" and "loss" in verbs)


def request_key(request: Request, model: str, run_seed: int) -> str:
    """The content address of `request` to `model` (a name with its revision and precision).

    The run's seed is part of it only where it matters: a greedy completion, a loss, a choice and an embedding are
    the same in every run.
    """
    # By name: `asdict` takes ten times as long.
    content: dict[str, Any] = {name: getattr(request, name) for name in request.__slots__ if name != "seed"}
    if isinstance(request, GenerateRequest):
        content["sampling"] = asdict(request.sampling)
    if isinstance(request, LossRequest) and not request.messages:
        del content["messages"]  # the keys of older ledgers, which did not know it
    if isinstance(request, GenerateRequest) and request.sampling.temperature > 0:
        content["run_seed"] = run_seed
    text = json.dumps([request.verb, model, content], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def request_seed(key: str, run_seed: int) -> int:
    """The 63-bit seed of one request, derived from its key and the run's seed."""
    digest = hashlib.sha256(f"{run_seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, slots=True)
class Scope:
    """Who is asking: for the accounts, and for telling repeated draws of one prompt apart.

    Attributes:
        parents: ids of the parents of an operator's call: never drawn from the pool.
    """

    operator: str = ""
    round: int = 0
    draw: str = ""
    parents: tuple[str, ...] = ()

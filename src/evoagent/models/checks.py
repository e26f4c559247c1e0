"""What plugins send to models and what engines answer, looked at before it can harm anybody else's request."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from evoagent.errors import EngineError
from evoagent.failures import is_storable, shown, storable
from evoagent.models.requests import (
    Choice,
    ChooseRequest,
    Completion,
    Embedding,
    EmbedRequest,
    GenerateRequest,
    Loss,
    LossRequest,
    Request,
    Result,
    Turns,
    Verb,
)

MAX_CHARACTERS = 4_000_000  # of a request: no model reads more
MAX_TOKENS = 10**7
MAX_CHOICES = 64
_ROLES = ("system", "user", "assistant")


def check_request(request: Request) -> None:
    """Refuse a request that an engine would fail on as a whole, for all who wait for it.

    Raises:
        TypeError, ValueError: what is wrong with it.
    """
    _REQUESTS[request.verb](request)
    if request.size > MAX_CHARACTERS:
        raise ValueError(f"a request of {request.size} characters, more than {MAX_CHARACTERS}")


def _check_embed(request: EmbedRequest) -> None:
    _texts(text=request.text)


def _check_loss(request: LossRequest) -> None:
    _texts(target=request.target, context=request.context, joiner=request.joiner)
    if request.convention not in ("raw", "chat"):
        raise ValueError(f"convention: found {shown(request.convention)}, expected 'raw' or 'chat'")
    if request.messages and (request.convention != "chat" or request.context):
        raise ValueError("messages: expected convention 'chat', and no context beside them")
    _check_turns(request.messages)


def _check_generate(request: GenerateRequest) -> None:
    _texts(text=request.text)
    _check_turns(request.messages)
    if not request.messages and not request.text:
        raise ValueError("prompt: found no turn, expected at least one")
    sampling = request.sampling
    for name, high in (("temperature", 5.0), ("top_p", 1.0)):
        value = getattr(sampling, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= high:
            raise ValueError(f"{name}: found {shown(value)}, expected a number from 0 to {high:g}")
    tokens: Any = sampling.max_tokens
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens <= MAX_TOKENS:
        raise ValueError(f"max_tokens: found {shown(tokens)}, expected a whole number from 1")
    for stop in sampling.stop:
        _texts(stop=stop)


def _check_choose(request: ChooseRequest) -> None:
    _check_turns(request.messages)
    if not request.messages:
        raise ValueError("prompt: found no turn, expected at least one")
    if not 2 <= len(request.choices) <= MAX_CHOICES:
        raise ValueError(f"choices: found {len(request.choices)}, expected 2 to {MAX_CHOICES}")
    for choice in request.choices:
        _texts(choices=choice)
        if not choice.strip():
            raise ValueError(f"choices: found {choice!r}, expected texts that are not empty")
    if len(set(request.choices)) < len(request.choices):
        raise ValueError("choices: found one twice, expected different ones")


def _check_turns(messages: Turns) -> None:
    for role, content in messages:
        if role not in _ROLES:
            raise ValueError(f"prompt: found the role {shown(role)}, expected one of {', '.join(_ROLES)}")
        _texts(prompt=content)


def _texts(**texts: object) -> None:
    for name, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{name}: found {shown(text)}, expected a text")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name}: found half a surrogate pair, expected a text that has a UTF-8 form") from None


def check_results(verb: Verb, requests: Sequence[Request], found: object) -> list[Result | Exception]:
    """What an engine returned for a batch: an outcome for each request, fit to be stored.

    Raises:
        EngineError: it is not.
    """
    if not isinstance(found, (list, tuple)):
        raise EngineError(f"{verb} answered with {shown(found)}, expected a list")
    if len(found) != len(requests):
        raise EngineError(f"{len(found)} answers to {len(requests)} requests")
    return [
        item if isinstance(item, Exception) else check_result(request, item)
        for request, item in zip(requests, found, strict=True)
    ]


def check_result(request: Request, result: object) -> Result:
    """An engine's answer in a form that can be stored.

    Raises:
        EngineError: it is no answer to `request`.
    """
    verb = request.verb
    expected, check = _RESULTS[verb]
    if not isinstance(result, expected):
        raise EngineError(f"{verb} answered with {shown(result)}, which is no answer to it")
    try:
        return check(request, result)
    except (TypeError, ValueError, OverflowError) as error:
        raise EngineError(f"{verb} answered with {shown(result)}: {error}") from error


def _completion(request: GenerateRequest, result: Completion) -> Completion:
    _texts_of(result)
    tokens = _counts(result.prompt_tokens, result.completion_tokens)
    finish = "length" if result.finish_reason == "length" else "stop"
    if (result.prompt_tokens, result.completion_tokens) == tokens and finish == result.finish_reason:
        return result if is_storable(result.text) else replace(result, text=storable(result.text))
    return Completion(storable(result.text), finish, *tokens)


def _texts_of(result: Completion) -> None:
    if not isinstance(result.text, str):
        raise TypeError("its text is no text")


def _counts(*values: Any) -> tuple[int, ...]:
    found = tuple(int(value) for value in values)
    if any(not 0 <= value < 2**53 for value in found):
        raise ValueError("numbers of tokens out of range")
    return found


def _loss(request: LossRequest, result: Loss) -> Loss:
    sums = (result.target_sum, result.context_sum)
    if not all(isinstance(value, Real) for value in sums):
        raise TypeError("its sums are no numbers")
    target, context, prompt = _counts(result.target_tokens, result.context_tokens, result.prompt_tokens)
    tokens = tuple(float(value) for value in result.tokens)
    return Loss(float(sums[0]), target, float(sums[1]), context, bool(result.merged), prompt, tokens)


def _embedding(request: EmbedRequest, result: Embedding) -> Embedding:
    vector: Any = np.asarray(result.vector)
    if vector.ndim != 1 or not vector.size or vector.dtype.kind not in "fiu":
        raise ValueError(f"its vector is of shape {vector.shape} and type {vector.dtype}, expected float32 of (n,)")
    (prompt,) = _counts(result.prompt_tokens)
    found = vector.astype(np.float32, copy=False)
    if not math.isfinite(float(np.abs(found).sum())):
        raise ValueError("its vector is not finite")
    return result if found is result.vector else Embedding(found, prompt)


def _choice(request: ChooseRequest, result: Choice) -> Choice:
    if not isinstance(result.probabilities, Mapping) or set(result.probabilities) != set(request.choices):
        raise ValueError("its answers are not the choices of the request")
    found = [float(result.probabilities[choice]) for choice in request.choices]
    total = sum(found)
    if not (math.isfinite(total) and total > 0 and min(found) >= 0):
        raise ValueError("its probabilities are not finite numbers from 0, with one above it")
    (prompt,) = _counts(result.prompt_tokens)
    return Choice({choice: value / total for choice, value in zip(request.choices, found, strict=True)}, prompt)


_REQUESTS: Mapping[Verb, Callable[[Any], None]] = {
    "generate": _check_generate,
    "loss": _check_loss,
    "embed": _check_embed,
    "choose": _check_choose,
}
_RESULTS: Mapping[Verb, tuple[type, Callable[[Any, Any], Result]]] = {
    "generate": (Completion, _completion),
    "loss": (Loss, _loss),
    "embed": (Embedding, _embedding),
    "choose": (Choice, _choice),
}

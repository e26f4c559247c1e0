"""Reading what a server of the OpenAI protocol sends: nothing in it is trusted."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np

from evoagent.errors import EngineError, EvoAgentError, RequestError, TransientError
from evoagent.models.choices import choice_by_weight
from evoagent.models.concurrency import BusyError
from evoagent.models.engines.scoring_text import ScoringIds, to_loss
from evoagent.models.requests import Choice, ChooseRequest, Completion, Embedding, Loss, LossRequest

MAX_BODY = 64 * 2**20
TOP_TOKENS = 20  # the most that servers give
_MAX_WAIT_S = 3600.0
_PASSING = frozenset({408, 409, 425, 429})
_BUSY = frozenset({408, 429, 503, 504})
_WHOLE = frozenset({401, 402, 403, 404, 405})
_CHARACTERS_PER_TOKEN = 200  # longer tokens are runs of white space: a text beyond this is not what was asked for


def status_error(status: int, headers: Mapping[str, str], said: str) -> EvoAgentError:
    """The error of an HTTP status of 300 or more."""
    if status < 400:
        there = show(headers.get("location", "")) or "nowhere"
        return EngineError(f"the server answered {status}, see {there}: expected a base_url that leads nowhere else")
    message = f"the server answered {status}: {said}"
    if status in _PASSING or status >= 500:
        return (BusyError if status in _BUSY else TransientError)(message, retry_after=retry_after(headers))
    if status in _WHOLE:
        return EngineError(f"{message} (expected a server that knows this model, path and key)")
    return RequestError(message)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait by `Retry-After`, given as seconds or as an HTTP date; at most an hour, None if unreadable."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - (time.time() if now is None else now)
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _MAX_WAIT_S) if math.isfinite(seconds) else None


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises:
        TransientError: it is none, or only says that something failed.
    """
    try:
        body = json.loads(raw.decode("utf-8-sig"))  # bytes it takes as UTF-16 too, in which no key has been masked
    except (ValueError, RecursionError) as error:
        raise TransientError(f"the server sent no JSON: {show(raw.decode('utf-8', 'replace'))}") from error
    if not isinstance(body, dict):
        raise TransientError(f"the server sent {type(body).__name__}; expected a JSON object")
    if body.get("error"):
        raise TransientError(f"the server reports an error: {show(str(body['error']))}")
    return body


def said(raw: bytes) -> str:
    """What the body of an error says: its message, or the body as it is."""
    text = raw.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        body = json.loads(text)
        error = body.get("error", body) if isinstance(body, dict) else body
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    return show(text) or "nothing"


def first_choice(body: dict[str, Any]) -> dict[str, Any]:
    """The first of `choices`.

    Raises:
        TransientError: there is none.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise TransientError(f"the server sent no choices: {show(json.dumps(body))}")
    return choices[0]


def parse_completion(body: dict[str, Any], *, chat: bool, max_tokens: int) -> Completion:
    """The text of the first choice.

    Raises:
        RequestError: there is no text, or one far longer than asked for.
        TransientError: there is no choice.
    """
    choice = first_choice(body)
    holder = choice.get("message") if chat else choice
    text = holder.get("content" if chat else "text") if isinstance(holder, dict) else None
    reason = choice.get("finish_reason")
    if reason == "content_filter":
        raise RequestError("the server's content filter withheld the text")
    if not isinstance(text, str):
        hint = "; all of max_tokens may have gone into reasoning" if reason == "length" else ""
        raise RequestError(f"the server sent {type(text).__name__} for a text (finish_reason {reason!r}){hint}")
    limit = max_tokens * _CHARACTERS_PER_TOKEN + 1000
    if len(text) > limit:
        raise RequestError(f"the server sent {len(text)} characters for {max_tokens} tokens; expected at most {limit}")
    return Completion(
        text=clean(text),
        finish_reason="length" if reason in ("length", "max_tokens") else "stop",
        prompt_tokens=usage(body, "prompt_tokens"),
        completion_tokens=usage(body, "completion_tokens"),
    )


def parse_choice(body: dict[str, Any], request: ChooseRequest) -> Choice:
    """How likely each answer is by the tokens that may begin the reply; an answer that none of them begins gets 0.

    A token speaks for the answers that it begins, or that it goes on from with what is no word: "Yes." for "Yes".
    The longest such token is taken as the answer's first.

    Raises:
        RequestError: the server sends no log-probabilities, no answer is among the tokens, or two answers begin with
            the same one.
    """
    tokens = _first_tokens(first_choice(body))
    spoken_for = {token: [choice for choice in request.choices if _begins(token, choice)] for token in tokens}
    first: dict[str, str] = {}
    for choice in request.choices:
        if own := [token for token, choices in spoken_for.items() if choice in choices]:
            token = max(own, key=len)
            if token in first:
                raise RequestError(
                    f"the answers {first[token]!r:.60} and {choice!r:.60} begin with the same token {token!r:.60}; "
                    "expected answers that differ in their first token, or a server that gives losses (options.loss)"
                )
            first[token] = choice
    if not first:
        likely = ", ".join(repr(token) for token in list(tokens)[:5])
        raise RequestError(f"none of the answers begins with one of the {len(tokens)} likeliest tokens: {likely}, …")
    shares: dict[str, list[float]] = {choice: [] for choice in request.choices}
    for token, choices in spoken_for.items():
        owner = choices[0] if len(choices) == 1 else first.get(token)
        if owner is not None:
            shares[owner] += tokens[token]
    logarithms = [_log_sum(values) for values in shares.values()]
    return choice_by_weight(request, logarithms, usage(body, "prompt_tokens"))


def parse_embeddings(body: dict[str, Any], count: int) -> list[Embedding | Exception]:
    """Unit vectors in the order of the inputs.

    Raises:
        TransientError: the server sent another number of vectors.
    """
    data = body.get("data")
    if not isinstance(data, list) or len(data) != count or not all(isinstance(row, dict) for row in data):
        found = len(data) if isinstance(data, list) else type(data).__name__
        raise TransientError(f"the server sent {found} embeddings; expected {count}")
    if sorted(str(row.get("index")) for row in data) == sorted(map(str, range(count))):
        data = sorted(data, key=lambda row: int(row["index"]))
    tokens = usage(body, "prompt_tokens") // count
    return [_embedding(row.get("embedding"), tokens) for row in data]


def parse_ids(body: dict[str, Any]) -> list[int]:
    """The tokens of a vLLM `/tokenize` answer."""
    tokens = body.get("tokens")
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
        raise TransientError(f"/tokenize sent {show(json.dumps(body))}; expected a list of numbers under `tokens`")
    return tokens


def parse_prompt_logprobs(body: dict[str, Any], scoring: ScoringIds) -> list[float | None]:
    """Nats of each prompt token out of vLLM's `prompt_logprobs`: one mapping of token to log-probability a position.

    Raises:
        RequestError: the server does not send them.
    """
    choice = first_choice(body)
    rows = choice.get("prompt_logprobs", body.get("prompt_logprobs"))
    if not isinstance(rows, list) or len(rows) != len(scoring.ids):
        found = f"{len(rows)} rows" if isinstance(rows, list) else type(rows).__name__
        raise RequestError(f"the server sent {found} as prompt_logprobs; expected {len(scoring.ids)} rows")
    losses: list[float | None] = []
    for token, row in zip(scoring.ids, rows, strict=True):
        entry = row.get(str(token)) if isinstance(row, dict) else None
        losses.append(_nats(entry.get("logprob") if isinstance(entry, dict) else None))
    return losses


def parse_echo(body: dict[str, Any], request: LossRequest, text: str) -> Loss:
    """The loss out of an echoed prompt: the boundary is put by the offsets of the tokens.

    Raises:
        RequestError: the server does not echo the prompt with log-probabilities and offsets.
    """
    tokens, values, offsets = _echo_columns(first_choice(body))
    shift = _bos_shift(tokens, text)
    starts = [offset - shift for offset in offsets]
    size = sum(start < len(text) for start in starts)
    starts, losses = starts[:size], [_nats(value) for value in values[:size]]
    cut = len(request.context)
    boundary = sum(start < cut for start in starts)
    straddles = 0 < boundary < size and starts[boundary] != cut
    scoring = ScoringIds([0] * size, 0, boundary, boundary, merged=straddles)
    return to_loss(scoring, losses, per_token=request.per_token)


def usage(body: dict[str, Any], key: str) -> int:
    """A count out of `usage`, 0 if the server does not say."""
    counts = body.get("usage")
    value = counts.get(key) if isinstance(counts, dict) else None
    return value if type(value) is int and 0 <= value < 2**31 else 0


def clean(text: str) -> str:
    """`text` without what no file or database can hold: lone surrogates and NUL."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def show(text: str) -> str:
    """The beginning of what a server said, on one line."""
    line = " ".join(text[:2000].split())
    return clean(line if len(line) <= 300 else line[:300] + "…")


def _echo_columns(choice: dict[str, Any]) -> tuple[list[str], list[Any], list[int]]:
    """Tokens, their log-probabilities and where each begins in the text."""
    logprobs = choice.get("logprobs")
    names = ("tokens", "token_logprobs", "text_offset")
    columns = [logprobs.get(name) if isinstance(logprobs, dict) else None for name in names]
    lists = [column for column in columns if isinstance(column, list)]
    if len(lists) != len(names) or len({len(column) for column in lists}) != 1:
        raise RequestError(
            f"the server echoes no prompt: expected lists {', '.join(names)} of equal length in logprobs"
        )
    tokens, values, offsets = lists
    if not all(isinstance(token, str) for token in tokens) or not all(type(offset) is int for offset in offsets):
        raise RequestError("the server echoes tokens or offsets of a wrong type")
    return tokens, values, offsets


def _first_tokens(choice: dict[str, Any]) -> dict[str, list[float]]:
    """The log-probabilities of the tokens that may come first, the likeliest before the others.

    They stand under their texts without leading blanks: "Yes" and " Yes" are one.
    """
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    rows = first.get("top_logprobs") if isinstance(first, dict) else None
    if not isinstance(rows, list) or not rows:
        raise RequestError(
            "the server sent no log-probabilities; expected a list under logprobs.content[0].top_logprobs"
        )
    found: list[tuple[float, str]] = []
    for row in rows:
        token, nats = (row.get("token"), _nats(row.get("logprob"))) if isinstance(row, dict) else (None, None)
        if isinstance(token, str) and token.strip() and nats is not None and math.isfinite(nats):
            found.append((-nats, token.lstrip()))
    tokens: dict[str, list[float]] = {}
    for logprob, token in sorted(found, key=lambda item: -item[0]):
        tokens.setdefault(token, []).append(logprob)
    return tokens


def _begins(token: str, answer: str) -> bool:
    """Whether a reply that begins with `token` may be `answer`."""
    answer = answer.strip()
    return answer.startswith(token.rstrip()) or (token.startswith(answer) and not token[len(answer)].isalnum())


def _log_sum(values: Sequence[float]) -> float:
    highest = max(values, default=-math.inf)
    return highest + math.log(sum(math.exp(value - highest) for value in values)) if values else -math.inf


def _nats(value: object) -> float | None:
    return -float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _bos_shift(tokens: Sequence[str], text: str) -> int:
    """Characters of a BOS token that the server counts in its offsets though the prompt does not hold them."""
    first = tokens[0] if tokens else ""
    return len(first) if first.startswith("<") and first.endswith(">") and not text.startswith(first) else 0


def _embedding(values: object, tokens: int) -> Embedding | Exception:
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        vector = np.zeros(0)
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(vector)) if vector.ndim == 1 else 0.0
    if not (math.isfinite(norm) and norm > 0):
        return RequestError("the server sent an embedding that is no vector of finite numbers")
    return Embedding((vector / norm).astype(np.float32), tokens)

"""The keys of the request log, quickly: what `requests.request_key` makes, for the verbs that are asked by thousands.

Prompts share their system turn and their worked examples, which are long: each is put into JSON once.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted

from evoagent.models import requests
from evoagent.models.requests import GenerateRequest, LossRequest, Request

SHARED_TURNS = 64  # turns whose JSON is kept


def request_key(request: Request, model: str, run_seed: int) -> str:
    """As `requests.request_key`, of which the key must be the same: ledgers are full of them."""
    if isinstance(request, LossRequest) and not request.messages:
        return _hashed(
            f'["loss", {quoted(model)}, {{"context": {quoted(request.context)}, "convention": '
            f'{quoted(request.convention)}, "joiner": {quoted(request.joiner)}, "per_token": '
            f'{"true" if request.per_token else "false"}, "target": {quoted(request.target)}}}]'
        )
    if not isinstance(request, GenerateRequest) or not request.messages:
        return requests.request_key(request, model, run_seed)
    *shared, (role, content) = request.messages
    turns = ", ".join([*(_shared_turn(*turn) for turn in shared), f"[{quoted(role)}, {quoted(content)}]"])
    sampling = {name: getattr(request.sampling, name) for name in ("max_tokens", "stop", "temperature", "top_p")}
    seed = f'"run_seed": {json.dumps(run_seed)}, ' if request.sampling.temperature > 0 else ""
    return _hashed(
        f'["generate", {quoted(model)}, {{"draw": {quoted(request.draw)}, "messages": [{turns}], {seed}'
        f'"sampling": {json.dumps(sampling)}, "text": {quoted(request.text)}}}]'
    )


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@lru_cache(SHARED_TURNS)
def _shared_turn(role: str, content: str) -> str:
    return f"[{quoted(role)}, {quoted(content)}]"

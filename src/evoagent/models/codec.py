"""Results to and from what the request log stores."""

from __future__ import annotations

from typing import Any

import numpy as np

from evoagent.models.requests import Choice, Completion, Embedding, Loss, Result, Verb


def encode(result: Result) -> tuple[dict[str, Any], bytes | None]:
    """A JSON-able mapping and, for embeddings and per-token losses, little-endian float32 bytes."""
    if isinstance(result, Embedding):
        return {"prompt_tokens": result.prompt_tokens}, result.vector.astype("<f4").tobytes()
    # By name: `asdict` takes ten times as long.
    if isinstance(result, Completion):
        return {name: getattr(result, name) for name in Completion.__slots__}, None
    if isinstance(result, Choice):
        return {"probabilities": dict(result.probabilities), "prompt_tokens": result.prompt_tokens}, None
    fields = {name: getattr(result, name) for name in Loss.__slots__}
    tokens = fields.pop("tokens")
    return fields, np.asarray(tokens, dtype="<f4").tobytes() if tokens else None


def decode(verb: Verb, result: dict[str, Any], array: bytes | None) -> Result:
    """The inverse of `encode`."""
    if verb == "generate":
        return Completion(**result)
    if verb == "choose":
        return Choice(**result)
    values = np.frombuffer(array or b"", dtype="<f4")
    if verb == "embed":
        return Embedding(values.astype(np.float32), **result)
    return Loss(**result, tokens=tuple(values.tolist()))

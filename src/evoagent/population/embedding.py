"""Embeddings of many texts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evoagent.errors import RequestError
from evoagent.models.roles import Models

IN_FLIGHT = 1024
"""How many texts are asked for at once."""

UNIT = 1e-3
"""How far the length of a vector may be from 1 to count as that."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of shape (texts, dimensions), float32; the rows of `failed` texts are zero, with the cause."""

    matrix: NDArray[np.float32]
    failed: dict[int, str]


async def embed_all(texts: Sequence[str], models: Models) -> Embedded:
    """Embed `texts`, in order; a text that the embedder refuses is reported and the others go on."""
    rows: list[NDArray[np.float32] | None] = []
    failed: dict[int, str] = {}
    for start in range(0, len(texts), IN_FLIGHT):
        chunk = texts[start : start + IN_FLIGHT]
        outcomes = await asyncio.gather(*(_embed(text, models) for text in chunk))
        for number, outcome in enumerate(outcomes, start):
            if isinstance(outcome, RequestError):
                failed[number] = str(outcome)
            rows.append(None if isinstance(outcome, RequestError) else outcome)
    size = next((len(row) for row in rows if row is not None), 0)
    matrix = np.zeros((len(rows), size), dtype=np.float32)
    for number, row in enumerate(rows):
        if row is not None:
            matrix[number] = row
    return Embedded(matrix, failed)


async def embed_units(texts: Sequence[str], models: Models) -> Embedded:
    """As `embed_all`, with every vector of length 1; one that has no direction is reported too."""
    found = await embed_all(texts, models)
    lengths = np.linalg.norm(found.matrix.astype(np.float64), axis=1)
    sound = (lengths > 0) & np.isfinite(lengths)
    failed = dict.fromkeys(np.flatnonzero(~sound).tolist(), "the vector has no direction")
    found.matrix[~sound] = 0
    uneven = sound & (np.abs(lengths - 1) > UNIT)
    found.matrix[uneven] /= lengths[uneven, None]
    return Embedded(found.matrix, failed | found.failed)


async def _embed(text: str, models: Models) -> NDArray[np.float32] | RequestError:
    try:
        return await models.embedder.embed(text)
    except RequestError as error:
        return error

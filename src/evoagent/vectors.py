"""Embeddings of a population, and who is near whom, in blocks so that memory stays bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evoagent.errors import RequestError
from evoagent.models.roles import Models
from evoagent.records import Candidate, Instruction

IN_FLIGHT = 1024
"""How many texts are asked for at once."""

BLOCK = 2**24
"""Similarities held in memory at once: 64 MiB in float32."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Unit vectors of shape (texts, dimensions), float32; the rows of `failed` texts are zero, with the cause."""

    matrix: NDArray[np.float32]
    failed: Mapping[int, str]


async def embed_all(texts: Sequence[str], models: Models) -> Vectors:
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
    return Vectors(matrix, failed)


async def _embed(text: str, models: Models) -> NDArray[np.float32] | RequestError:
    try:
        return await models.embedder.embed(text)
    except RequestError as error:
        return error


def nearest(
    queries: NDArray[np.float32], pool: NDArray[np.float32], barred: Sequence[Collection[int]]
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """The highest cosine similarity of each query to the pool, and where it is.

    Args:
        queries: unit vectors, shape (n, dimensions).
        pool: unit vectors, shape (m, dimensions).
        barred: for each query, the rows of the pool that do not count.

    Returns:
        Similarities and rows, both of shape (n,); similarity -inf and row -1 where nothing counts.
    """
    similarity = np.full(len(queries), -np.inf, dtype=np.float32)
    row = np.full(len(queries), -1, dtype=np.intp)
    if not len(pool):
        return similarity, row
    step = max(1, BLOCK // len(pool))
    for start in range(0, len(queries), step):
        block = queries[start : start + step] @ pool.T
        for offset, columns in enumerate(barred[start : start + step]):
            block[offset, list(columns)] = -np.inf
        best = block.argmax(axis=1)
        value = block[np.arange(len(block)), best]
        similarity[start : start + step] = value
        row[start : start + step] = np.where(np.isneginf(value), -1, best)
    return similarity, row


def ancestors(candidate: Candidate, survivors: Mapping[str, Candidate]) -> set[str]:
    """Ids of all whom `candidate` descends from, as far back as `survivors` (by id) tell."""
    found: set[str] = set()
    waiting = list(_named(candidate))
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in survivors:
            waiting += _named(survivors[name])
    return found


def _named(candidate: Candidate) -> Iterable[str]:
    parents: tuple[Instruction, ...] = (candidate.parent, *candidate.parents)
    for parent in parents:
        yield parent.id
        yield from parent.parent_ids

"""The Vendi score of a dataset, and what one instruction adds to it.

Friedman and Dieng, "The Vendi Score: A Diversity Evaluation Metric for Machine Learning", TMLR 2023 (arXiv 2210.02410).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evoagent import Models, Population, PopulationScorer, Score, Vectors

BLOCK = 8192
"""Rows that are held in float64 at once."""

DIGITS = 9
"""Decimals that are kept: the last bits of an eigenvalue depend on the number of threads."""


class Contributions(NamedTuple):
    """The Vendi score of n unit vectors, and each one's part in it.

    Attributes:
        score: VS = exp(-Σ_k λ_k ln λ_k), λ the eigenvalues of K/n, K the cosine similarities: 1 for n equal vectors,
            n for n orthogonal ones.
        marginal: shape (n,), in nats: d ln VS / dw at w = 0, when the share w of all weight moves from the others to
            this vector. Above 0 more of its kind would make the set more diverse, below 0 less; the mean is 0.
    """

    score: float
    marginal: NDArray[np.float64]


def contributions(vectors: NDArray[np.float32] | Vectors) -> Contributions:
    """Vendi score and marginals of unit vectors of shape (n, dimensions), n ≥ 1; exact.

    With S = Σ_i x_i x_iᵀ / n, which has the non-zero eigenvalues of K/n, ln VS = -tr(S ln S). Moving weight to x gives
    S_w = (1-w) S + w x xᵀ, so that d ln VS / dw at 0 is -tr((x xᵀ - S) ln S) = -xᵀ ln(S) x - ln VS. For row i of K,
    -x_iᵀ ln(S) x_i = -n (K/n ln K/n)_ii, whose mean over i is ln VS itself.

    Cost: n m² + m³ for m = min(n, dimensions). Own numpy lines: the authors' package makes no use of the eigenvectors.
    """
    count, dimensions = vectors.shape
    if count <= dimensions:
        matrix = np.asarray(vectors, dtype=np.float64)
        values, basis = np.linalg.eigh(matrix @ matrix.T / count)
        logs = _log(values)
        surprisal = -count * (basis**2) @ (np.maximum(values, 0.0) * logs)
    else:
        second = np.zeros((dimensions, dimensions))
        for start in range(0, count, BLOCK):
            block = vectors[start : start + BLOCK].astype(np.float64)
            second += block.T @ block
        values, basis = np.linalg.eigh(second / count)
        logs = _log(values)
        surprisal = np.empty(count)
        for start in range(0, count, BLOCK):
            surprisal[start : start + BLOCK] = -((vectors[start : start + BLOCK] @ basis) ** 2) @ logs
    entropy = -float(np.maximum(values, 0.0) @ logs)
    return Contributions(float(np.exp(entropy)), surprisal - entropy)


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithms, with 0 · ln 0 = 0; what is below 1e-14 is rounding."""
    logs: NDArray[np.float64] = np.log(np.where(values > 1e-14, values, 1.0))
    return logs


class Vendi(PopulationScorer):
    """What a candidate adds to the Vendi score of all survivors and the round's candidates; high is diverse.

    The kernel is the cosine similarity of the embeddings of instructions with their inputs. Own parents count when
    they are survivors: the dataset holds both. The value is `Contributions.marginal`. Nothing is sampled.
    """

    name = "vendi"
    summary = "what an instruction adds to the Vendi score, the effective number of different ones"
    needs = ("embedder.embed",)

    async def score_all(self, candidates: Population, survivors: Population, models: Models) -> AsyncIterator[Score]:
        """`details` give the Vendi score of the whole pool, and its size."""
        vectors = await (survivors + candidates).vectors(models)
        sound = _sound(vectors)
        found = await asyncio.to_thread(contributions, vectors.at(sound)) if len(sound) > 1 else None
        for number in range(len(survivors), len(vectors)):
            if number in vectors.failed:
                yield Score(None, f"no embedding: {vectors.failed[number]}")
            elif found is None:
                yield Score(None, "there is no other instruction to compare with")
            else:
                value = float(found.marginal[np.searchsorted(sound, number)])
                yield Score(round(value, DIGITS), None, {"vendi": round(found.score, DIGITS), "of": len(sound)})

    async def measure(self, survivors: Population, models: Models) -> Mapping[str, float]:
        """`score`: the Vendi score of all survivors, exact; `score_per_row`: the same for each row, 1/n to 1."""
        vectors = await survivors.vectors(models)
        sound = _sound(vectors)
        if not len(sound):
            return {}
        found = await asyncio.to_thread(contributions, vectors.at(sound))
        return {"score": round(found.score, DIGITS), "score_per_row": round(found.score / len(sound), DIGITS)}


def _sound(vectors: Vectors) -> NDArray[np.intp]:
    """The numbers of those that have a vector, ascending."""
    return np.delete(np.arange(len(vectors)), list(vectors.failed))

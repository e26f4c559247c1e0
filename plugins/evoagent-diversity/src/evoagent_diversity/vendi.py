"""The Vendi score of a dataset, and what one instruction adds to it.

Friedman and Dieng, "The Vendi Score: A Diversity Evaluation Metric for Machine Learning", TMLR 2023 (arXiv 2210.02410).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evoagent import Candidate, Models, PopulationScorer, RequestError, Score

IN_FLIGHT = 1024
"""Texts asked of the embedder at once."""

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


def contributions(vectors: NDArray[np.float32]) -> Contributions:
    """Vendi score and marginals of unit vectors of shape (n, dimensions), n ≥ 1; exact.

    With S = Σ_i x_i x_iᵀ / n, which has the non-zero eigenvalues of K/n, ln VS = -tr(S ln S). Moving weight to x gives
    S_w = (1-w) S + w x xᵀ, so that d ln VS / dw at 0 is -tr((x xᵀ - S) ln S) = -xᵀ ln(S) x - ln VS. For row i of K,
    -x_iᵀ ln(S) x_i = -n (K/n ln K/n)_ii, whose mean over i is ln VS itself.

    Cost: n m² + m³ for m = min(n, dimensions). Own numpy lines: the authors' package makes no use of the eigenvectors.
    """
    count, dimensions = vectors.shape
    if count <= dimensions:
        matrix = vectors.astype(np.float64)
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

    async def score_all(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Score]:
        """`details` give the Vendi score of the whole pool, and its size."""
        pool = [*survivors, *candidates]
        vectors, failed = await _embed_all([member.prompt_text for member in pool], models)
        row_of = {number: row for row, number in enumerate(n for n in range(len(pool)) if n not in failed)}
        found = await asyncio.to_thread(_contributions, vectors) if len(vectors) > 1 else None
        scores = []
        for number in range(len(survivors), len(pool)):
            if number in failed:
                scores.append(Score(None, failed[number]))
            elif found is None:
                scores.append(Score(None, "there is no other instruction to compare with"))
            else:
                value = round(float(found.marginal[row_of[number]]), DIGITS)
                scores.append(Score(value, None, {"vendi": round(found.score, DIGITS), "of": len(vectors)}))
        return scores

    async def measure(self, survivors: Sequence[Candidate], models: Models) -> Mapping[str, float]:
        """`score`: the Vendi score of all survivors, exact; `score_per_row`: the same for each row, 1/n to 1."""
        vectors, _ = await _embed_all([member.prompt_text for member in survivors], models)
        if not vectors:
            return {}
        found = await asyncio.to_thread(_contributions, vectors)
        return {"score": round(found.score, DIGITS), "score_per_row": round(found.score / len(vectors), DIGITS)}


def _contributions(vectors: Sequence[NDArray[np.float32]]) -> Contributions:
    return contributions(np.stack(vectors))


async def _embed_all(texts: Sequence[str], models: Models) -> tuple[list[NDArray[np.float32]], dict[int, str]]:
    """Unit vectors of the texts that have one, in order, and why the others (by number) have none."""
    rows: list[NDArray[np.float32]] = []
    failed: dict[int, str] = {}
    for start in range(0, len(texts), IN_FLIGHT):
        chunk = texts[start : start + IN_FLIGHT]
        for number, outcome in enumerate(await asyncio.gather(*(_embed(text, models) for text in chunk)), start):
            if isinstance(outcome, str):
                failed[number] = outcome
            else:
                rows.append(outcome)
    return rows, failed


async def _embed(text: str, models: Models) -> NDArray[np.float32] | str:
    try:
        vector = await models.embedder.embed(text)
    except RequestError as error:
        return f"no embedding: {error}"
    norm = float(np.linalg.norm(vector))
    return vector / np.float32(norm) if 0 < norm < np.inf else "no embedding: the vector has no direction"

"""Topics that stay what they are: which one an embedding belongs to, now and in every later round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evoagent import Vectors

SCALE = 2.0**20
"""Components are rounded to multiples of 1 / SCALE and taken as whole numbers. Sums of their products stay below 2**53,
so float64 holds them exactly: a similarity is the same in any order of summation, on any number of threads, in any
batch."""

BLOCK = 8192
"""Rows compared at once."""


def nearest(vectors: NDArray[np.float32] | Vectors, centroids: NDArray[np.float32], first: int = 0) -> NDArray[np.intp]:
    """The centroid with the highest cosine to each unit vector from `first` on, shape (n - first,); first of equals."""
    fixed = _whole(centroids).T
    found = np.zeros(len(vectors) - first, dtype=np.intp)
    for start in range(0, len(found), BLOCK):
        block = vectors[first + start : first + start + BLOCK]
        found[start : start + BLOCK] = (_whole(block) @ fixed).argmax(axis=1)
    return found


def lead(vectors: NDArray[np.float32] | Vectors, most: int, similarity: float) -> tuple[NDArray[np.intp], list[int]]:
    """Leader clustering (Hartigan, "Clustering Algorithms", 1975): one pass over unit vectors, in their order.

    A vector whose cosine to all leaders so far is below `similarity` becomes one, until there are `most`; any other
    belongs to the nearest leader there was when its turn came. What comes later thus never moves what came before,
    as it would with k-means.

    Returns:
        The topic of each vector, shape (n,), and the row of each topic's leader.
    """
    found = np.zeros(len(vectors), dtype=np.intp)
    leaders: list[int] = []
    known = np.zeros((most, vectors.shape[1]))
    row, block = 0, np.empty((0, vectors.shape[1]))
    while row < len(vectors) and len(leaders) < most:
        if row % BLOCK == 0:
            block = _whole(vectors[row : row + BLOCK])
        vector = block[row % BLOCK]
        cosines = known[: len(leaders)] @ vector
        best = int(cosines.argmax()) if leaders else -1
        if best < 0 or cosines[best] < similarity * SCALE**2:
            best = len(leaders)
            known[best] = vector
            leaders.append(row)
        found[row] = best
        row += 1
    if row < len(vectors):
        found[row:] = nearest(vectors, vectors[np.array(leaders)], row)
    return found, leaders


def _whole(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.rint(vectors.astype(np.float64) * SCALE)

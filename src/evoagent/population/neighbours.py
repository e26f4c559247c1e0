"""Nearest neighbours by cosine similarity, in blocks so that memory stays bounded."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from evoagent.population.base import Vectors
from evoagent.population.ragged import Pairs

EXACT = 100_000
"""Vectors up to which every one is compared; beyond, an index finds those that are."""

BLOCK = 2**23
"""Similarities held in memory at once: 32 MiB in float32."""

QUERIES = 1024
"""Vectors that are worth asking for at once."""

CELLS_PER_ROOT = 2  # cells of the index, times the root of the number of vectors
SAMPLE = 39  # vectors a cell that it is trained on: what faiss asks for at the least
PROBES = 24  # cells that are searched
FOUND = 32  # vectors found that are compared exactly


class Neighbours(NamedTuple):
    """The highest similarity of each query, and the row where it is; -inf and -1 where nothing counts. Shape (n,)."""

    similarity: NDArray[np.float32]
    row: NDArray[np.intp]


class Searcher(Protocol):
    """Rows of some vectors, among which neighbours are looked for."""

    def add(self, rows: NDArray[np.intp]) -> None:
        """Take more rows in; each once."""

    def search(self, queries: NDArray[np.float32], barred: Pairs) -> Neighbours:
        """The nearest known row to each of `queries`, shape (n, dimensions).

        Args:
            barred: for each query, the rows that do not count.
        """


def searcher(vectors: Vectors) -> Searcher:
    """A searcher that knows no row yet, for rows of `vectors`: exact up to `EXACT` of them."""
    return Exact(vectors) if len(vectors) <= EXACT else Index(vectors)


class Exact:
    """Compares with every row."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._rows = np.empty(0, dtype=np.intp)
        self._place = np.full(len(vectors), -1, dtype=np.intp)

    def add(self, rows: NDArray[np.intp]) -> None:
        """Take more rows in."""
        self._place[rows] = np.arange(len(self._rows), len(self._rows) + len(rows))
        self._rows = np.concatenate([self._rows, rows])

    def search(self, queries: NDArray[np.float32], barred: Pairs) -> Neighbours:
        """By products of blocks; the first of equals."""
        similarity = np.full(len(queries), -np.inf, dtype=np.float32)
        row = np.full(len(queries), -1, dtype=np.intp)
        places = self._place[barred.values]
        step = max(1, BLOCK // max(len(queries), 1))
        for start in range(0, len(self._rows), step):
            rows = self._rows[start : start + step]
            block = queries @ self._vectors[rows].T
            here = (places >= start) & (places < start + len(rows))
            block[barred.owners[here], places[here] - start] = -np.inf
            best = block.argmax(axis=1)
            value = block[np.arange(len(block)), best]
            better = value > similarity
            similarity[better], row[better] = value[better], rows[best[better]]
        return Neighbours(similarity, row)


class Index:
    """Compares with those rows that an index of faiss finds: cells by k-means, within them vectors of 8-bit numbers.

    What is found is compared exactly, so a similarity is always a true one; a neighbour may be missed. The same vectors
    give the same index.
    """

    def __init__(self, vectors: Vectors) -> None:
        import faiss

        count, dimensions = vectors.shape
        self._vectors = vectors
        cells = max(1, int(CELLS_PER_ROOT * count**0.5))
        coarse = faiss.IndexFlatIP(dimensions)
        kind = faiss.ScalarQuantizer.QT_8bit
        self._index = faiss.IndexIVFScalarQuantizer(coarse, dimensions, cells, kind, faiss.METRIC_INNER_PRODUCT, False)
        self._index.nprobe = min(PROBES, cells)
        self._index.cp.seed = 1
        self._index.cp.min_points_per_centroid = 1  # else it complains on standard error
        sample = np.unique(np.linspace(0, count - 1, min(count, SAMPLE * cells)).astype(np.intp))
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # else the order of sums, and with it the cells, would vary
        try:
            self._index.train(vectors[sample])
        finally:
            faiss.omp_set_num_threads(threads)

    def add(self, rows: NDArray[np.intp]) -> None:
        """Take more rows in."""
        for start in range(0, len(rows), QUERIES):
            part = rows[start : start + QUERIES]
            self._index.add_with_ids(self._vectors[part], part.astype(np.int64))

    def search(self, queries: NDArray[np.float32], barred: Pairs) -> Neighbours:
        """The nearest of those that the index finds; the first of equals."""
        most = int(np.bincount(barred.owners).max()) if len(barred.owners) else 0
        _, found = self._index.search(queries, FOUND + most)
        found = np.sort(found, axis=1)
        void = found < 0
        query, place = np.nonzero(found[barred.owners] == barred.values[:, None])
        void[barred.owners[query], place] = True
        similarity = np.full(found.shape, -np.inf, dtype=np.float32)
        step = max(1, BLOCK // max(1, found.shape[1] * queries.shape[1]))
        for start in range(0, len(queries), step):
            near = self._vectors[found[start : start + step].ravel().clip(0)]
            near = near.reshape(*found[start : start + step].shape, -1)
            similarity[start : start + step] = np.einsum("qd,qkd->qk", queries[start : start + step], near)
        similarity[void] = -np.inf
        best = similarity.argmax(axis=1)
        each = np.arange(len(queries))
        value = similarity[each, best]
        return Neighbours(value, np.where(np.isneginf(value), -1, found[each, best]))

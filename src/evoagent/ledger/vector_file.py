"""A file of vectors by key, to which vectors are only ever added."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evoagent.errors import LedgerError

MAGIC = b"evoagent vectors 1\n"
HEADER = 64  # bytes: MAGIC, the dimensions in 4 bytes, zeros
BATCH = 1024
"""The most vectors that are added at once; a batch is on disk before the next begins, so only the last can be torn."""

UNSORTED = 2**16  # keys that wait until they are sorted in among the others


class VectorFile:
    """Rows of a 64-bit key, a checksum and a float32 vector, all of one size.

    `find` and `append` belong to one thread; `read` to any. What a killed process has left incomplete at the end of the
    file is cut off, and counts as never added.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at `path`; the first vectors make it.

        Raises:
            LedgerError: it cannot be read, or is none of ours.
        """
        self.path = path
        self.dimensions = 0
        self._row = np.dtype([])
        self._keys = np.empty(0, dtype=np.uint64)  # sorted, and the row of each
        self._rows = np.empty(0, dtype=np.int64)
        self._recent: dict[int, int] = {}
        self._count = 0
        try:
            self._open()
        except OSError as error:
            raise LedgerError(f"{path}: cannot be read: {error.strerror}") from error

    def __len__(self) -> int:
        return self._count

    def _open(self) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if not size:
            return
        with self.path.open("rb") as file:
            header = file.read(HEADER)
        if header[: len(MAGIC)] != MAGIC[: len(header)]:
            raise LedgerError(f"{self.path}: is no file of vectors; move it away, and it is made anew")
        if len(header) < HEADER:
            self.path.write_bytes(b"")
            return
        self._of(int.from_bytes(header[len(MAGIC) : len(MAGIC) + 4], "little"))
        self._count = self._sound((size - HEADER) // self._row.itemsize)
        if HEADER + self._count * self._row.itemsize != size:
            os.truncate(self.path, HEADER + self._count * self._row.itemsize)
        if self._count:
            self._sort(np.array(self._map()["key"]), np.arange(self._count))

    def _of(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._row = np.dtype([("key", "<u8"), ("sum", "<u4"), ("vector", "<f4", (dimensions,))])

    def _sound(self, count: int) -> int:
        """How many rows stand before the first torn one; only the last batch can hold any."""
        start = max(0, count - BATCH)
        if start == count:
            return count
        rows = np.memmap(self.path, self._row, "r", HEADER + start * self._row.itemsize, (count - start,))
        torn = [number for number, row in enumerate(rows) if _sum(row["key"], row["vector"]) != row["sum"]]
        return start + torn[0] if torn else count

    def _map(self) -> NDArray[np.void]:
        # Made for each batch: pages of a mapping count as the process's memory for as long as it is there, and the
        # system maps those around a row along with it.
        return np.memmap(self.path, self._row, "r", HEADER, (self._count,))

    def _sort(self, keys: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
        keys, rows = np.concatenate([self._keys, keys]), np.concatenate([self._rows, rows])
        order = np.argsort(keys, kind="stable")
        self._keys, self._rows, self._recent = keys[order], rows[order], {}

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The row of each key, shape (n,); -1 for those that are not there."""
        found = np.full(len(keys), -1, dtype=np.int64)
        if len(self._keys):
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            there = self._keys[places] == keys
            found[there] = self._rows[places[there]]
        if self._recent:
            for number in np.flatnonzero(found < 0).tolist():
                found[number] = self._recent.get(int(keys[number]), -1)
        return found

    def append(self, keys: NDArray[np.uint64], vectors: NDArray[np.float32]) -> None:
        """Add vectors of shape (n, dimensions) under new keys; they are on disk when this returns.

        Raises:
            LedgerError: the file cannot be written, or holds vectors of another size.
        """
        if not self._count and not self.dimensions:
            self._of(vectors.shape[1])
        if vectors.shape[1] != self.dimensions:
            raise LedgerError(
                f"{self.path}: holds vectors of {self.dimensions} numbers, found one of {vectors.shape[1]}: the "
                "embedder has changed under its name; move the file away"
            )
        for start in range(0, len(keys), BATCH):
            self._append(keys[start : start + BATCH], vectors[start : start + BATCH])

    def _append(self, keys: NDArray[np.uint64], vectors: NDArray[np.float32]) -> None:
        rows = np.zeros(len(keys), dtype=self._row)
        rows["key"], rows["vector"] = keys, vectors
        rows["sum"] = [_sum(row["key"], row["vector"]) for row in rows]
        end = HEADER + self._count * self._row.itemsize
        try:
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                if not self._count:
                    file.write((MAGIC + self.dimensions.to_bytes(4, "little")).ljust(HEADER, b"\0"))
                file.seek(end)  # where a write has failed before, it is written over
                file.write(rows.tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise LedgerError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._recent |= {int(key): self._count + number for number, key in enumerate(keys)}
        self._count += len(keys)
        if len(self._recent) >= UNSORTED:
            recent = self._recent
            self._sort(np.fromiter(recent, np.uint64, len(recent)), np.fromiter(recent.values(), np.int64, len(recent)))

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of `rows`, shape (n, dimensions); zeros for row -1."""
        found = np.zeros((len(rows), self.dimensions), dtype=np.float32)
        there = np.flatnonzero(rows >= 0)
        for start in range(0, len(there), BATCH):
            part = there[start : start + BATCH]
            found[part] = self._map()["vector"][rows[part]]
        return found


def _sum(key: np.uint64, vector: NDArray[np.float32]) -> int:
    return zlib.crc32(vector.tobytes(), int(key) & 0xFFFFFFFF)

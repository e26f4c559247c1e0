"""Corpora: rows that plugins draw from, read as seeds are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from evoagent.config.model import SeedsConfig
from evoagent.datasets.seeds import SeedBatch, file_digest, read_seeds, source_of
from evoagent.errors import DataError
from evoagent.records import content_id


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus that a configuration names.

    Attributes:
        version: of its rows: of the file's bytes and of how they are read, wherever the file lies.
        read: looks through the rows, once a process; raises DataError if they cannot be used.
    """

    name: str
    version: str
    read: Callable[[], SeedBatch]


def find_corpus(name: str, config: SeedsConfig, base: Path) -> Corpus:
    """Find a corpus; its rows are not looked at yet where it is a file.

    Raises:
        DataError: it is not there; names the key and the path.
    """

    @cache
    def read() -> SeedBatch:
        try:
            return read_seeds(config, base)
        except DataError as error:
            raise DataError(f"corpora.{name}: {error}") from error

    path, hub = source_of(config, base)
    try:
        sha256 = file_digest(path) if hub is None and path.is_file() else read().sha256
    except OSError as error:
        raise DataError(f"corpora.{name}: {path}: cannot be read: {error.strerror}") from error
    how = config.model_dump_json(exclude={"path", "max_bad"})
    return Corpus(name, content_id(sha256, how), read)

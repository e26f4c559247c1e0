"""Seeds, which are instructions or documents, out of a file or a hub dataset of any usual form."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from evoagent.config.model import SeedsConfig, resolve_path
from evoagent.datasets.documents import document_unit, read_documents, recognise_documents
from evoagent.datasets.files import BadRow, read_rows, unit_of
from evoagent.datasets.forms import Form, recognise, to_example
from evoagent.datasets.hub import HubName, hub_name, read_hub
from evoagent.errors import DataError
from evoagent.failures import DATA_CHARACTERS, plain_json
from evoagent.records import Instruction, content_id

HEAD = 200  # rows whose columns tell the form: the first ones may lack some


@dataclass(frozen=True, slots=True)
class SeedBatch:
    """The seeds of a run. Iterating reads them anew, one after the other: they need not fit in memory.

    Attributes:
        count: how many there are.
        bad: rows that were skipped, in the order of the file.
        total: rows that were read, good and bad; blank lines are none.
        format: the form that was recognised or given; "documents" for those.
        sha256: of the file's bytes; for a folder or a hub dataset, of the seeds' identifiers in order.
    """

    count: int
    bad: list[BadRow]
    total: int
    format: str
    sha256: str
    read: Callable[[], Iterator[Instruction]]

    def __iter__(self) -> Iterator[Instruction]:
        return islice(self.read(), self.count)

    @property
    def instructions(self) -> list[Instruction]:
        """All of them at once."""
        return list(self)


def read_seeds(config: SeedsConfig, base: Path) -> SeedBatch:
    """Looks through the seeds once, keeping none; a relative path is relative to `base`.

    A seed's id is made of its content and of how often the same content came before it: it is stable, and
    exact duplicates stay apart.

    Raises:
        DataError: the dataset cannot be read, has no usable column or row, or too many broken rows.
    """
    documents = config.form == "documents"
    path, hub = source_of(config, base)
    where = str(path) if hub is None else hub.name
    unit = "row" if hub is not None else document_unit(path) if documents else unit_of(path)

    def rows(bad: list[BadRow]) -> Iterator[tuple[int, dict[str, Any]]]:
        if hub is not None:
            return read_hub(hub, config.split)
        return read_documents(path, bad) if documents else read_rows(path, bad)

    bad: list[BadRow] = []
    head = list(islice(rows(bad), HEAD))
    if not head:
        raise _broken(where, unit, bad, len(bad), config.max_bad) if bad else DataError(f"{where}: has no rows")
    first = [row for _, row in head]
    if documents:
        form = recognise_documents(first, config.columns, where)
    else:
        form = recognise(first, config.format, config.columns, where)

    bad.clear()
    count, ids = 0, hashlib.sha256()
    last = None
    for line, seed in _seeds(rows(bad), form, bad):
        ids.update(f"\n{seed.id}".removeprefix("" if count else "\n").encode())
        count += 1
        if count == config.limit:
            last = line
            break
    # A reader may have been ahead of the limit: what lies there is no part of this batch.
    bad = sorted((row for row in bad if last is None or row.line < last), key=lambda row: row.line)

    total = count + len(bad)
    if not count or len(bad) > config.max_bad * total:
        raise _broken(where, unit, bad, total, config.max_bad)
    sha256 = ids.hexdigest() if hub is not None or path.is_dir() else file_digest(path)
    return SeedBatch(count, bad, total, form.format, sha256, lambda: (seed for _, seed in _seeds(rows([]), form, [])))


def source_of(config: SeedsConfig, base: Path) -> tuple[Path, HubName | None]:
    """The file or folder that a configuration names, and the hub dataset that it means if there is none."""
    path = resolve_path(config.path, base)
    # A slip in "folder/file" with a folder that is there is answered at once, not by the network.
    local = path.exists() or ("/" in config.path and path.parent.is_dir())
    return path, None if local else hub_name(config.path)


def _seeds(
    rows: Iterable[tuple[int, dict[str, Any]]], form: Form, bad: list[BadRow]
) -> Iterator[tuple[int, Instruction]]:
    """The usable rows as seeds, with their lines; the others go to `bad`."""
    seen: set[int] = set()  # hashes: the texts themselves would fill the memory
    again: Counter[int] = Counter()
    for line, row in rows:
        try:
            example = to_example(row, form)
        except DataError as error:
            bad.append(BadRow(line, str(error)))
            continue
        content = hash(example)
        if content in seen:
            again[content] += 1
        seen.add(content)
        identifier = content_id("seed", *example, again[content])
        yield line, Instruction(id=identifier, seed_id=identifier, data=_attached(row), **example._asdict())


def _attached(row: Mapping[str, Any]) -> dict[str, Any]:
    """What plugins of an earlier run have attached: column `data` of its dataset, which is JSON text in Parquet."""
    found = row.get("data")
    if not found:
        return {}
    try:
        return plain_json(json.loads(found) if isinstance(found, str) else found, DATA_CHARACTERS)
    except (TypeError, ValueError, RecursionError):  # a column of that name that is something else
        return {}


def _broken(where: str, unit: str, bad: list[BadRow], total: int, max_bad: float) -> DataError:
    first = "; ".join(f"{unit} {row.line}: {row.reason}" for row in bad[:3])
    rest = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    allowed = f"at most {max_bad:.0%} may be (max_bad)"
    return DataError(f"{where}: {len(bad)} of {total} rows cannot be used, {allowed}: {first}{rest}")


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Seed instructions out of a file or a hub dataset of any usual form."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from evoagent.config import SeedsConfig, resolve_path
from evoagent.datasets.files import BadRow, read_rows, unit_of
from evoagent.datasets.forms import Example, recognise, to_example
from evoagent.datasets.hub import hub_name, read_hub
from evoagent.errors import DataError
from evoagent.records import Instruction, content_id

HEAD = 200  # rows whose columns tell the form: the first ones may lack some


@dataclass(frozen=True, slots=True)
class SeedBatch:
    """The seeds of a run.

    Attributes:
        bad: rows that were skipped, in the order of the file.
        total: rows that were read, good and bad; blank lines are none.
        format: the form that was recognised or given.
        sha256: of the file's bytes; for a hub dataset, of the seeds' identifiers in order.
    """

    instructions: list[Instruction]
    bad: list[BadRow]
    total: int
    format: str
    sha256: str


def read_seeds(config: SeedsConfig, base: Path) -> SeedBatch:
    """Reads the seeds; a relative path is relative to `base`.

    A seed's id is made of its content and of how often the same content came before it: it is stable, and
    exact duplicates stay apart.

    Raises:
        DataError: the dataset cannot be read, has no usable column or row, or too many broken rows.
    """
    path = resolve_path(config.path, base)
    # A slip in "folder/file" with a folder that is there is answered at once, not by the network.
    local = path.exists() or ("/" in config.path and path.parent.is_dir())
    hub = None if local else hub_name(config.path)
    bad: list[BadRow] = []
    if hub is not None:
        where, unit, rows = hub.name, "row", read_hub(hub, config.split)
    else:
        where, unit, rows = str(path), unit_of(path), read_rows(path, bad)

    head = list(islice(rows, HEAD))
    if not head:
        raise _broken(where, unit, bad, len(bad), config.max_bad) if bad else DataError(f"{where}: has no rows")
    form = recognise([row for _, row in head], config.format, config.columns, where)

    instructions: list[Instruction] = []
    seen: Counter[Example] = Counter()
    last = None
    for line, row in chain(head, rows):
        try:
            example = to_example(row, form)
        except DataError as error:
            bad.append(BadRow(line, str(error)))
            continue
        identifier = content_id("seed", *example, seen[example])
        seen[example] += 1
        instructions.append(Instruction(id=identifier, seed_id=identifier, **example._asdict()))
        if len(instructions) == config.limit:
            last = line
            break
    # The head may have been read beyond the limit: what lies there is no part of this batch.
    bad = sorted((row for row in bad if last is None or row.line < last), key=lambda row: row.line)

    total = len(instructions) + len(bad)
    if not instructions or len(bad) > config.max_bad * total:
        raise _broken(where, unit, bad, total, config.max_bad)
    sha256 = _digest(instructions) if hub is not None else _file_digest(path)
    return SeedBatch(instructions, bad, total, form.format, sha256)


def _broken(where: str, unit: str, bad: list[BadRow], total: int, max_bad: float) -> DataError:
    first = "; ".join(f"{unit} {row.line}: {row.reason}" for row in bad[:3])
    rest = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    allowed = f"at most {max_bad:.0%} may be (max_bad)"
    return DataError(f"{where}: {len(bad)} of {total} rows cannot be used, {allowed}: {first}{rest}")


def _digest(instructions: list[Instruction]) -> str:
    return hashlib.sha256("\n".join(seed.id for seed in instructions).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

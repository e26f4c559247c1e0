"""Rows that are given in memory: as the JSON lines that a file of them would hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typing_extensions import TypeIs

from evoagent.errors import DataError
from evoagent.failures import is_storable

StrPath = str | PathLike[str]
RowsOrPath = StrPath | Iterable[Mapping[str, Any]]
"""A file of rows, or the rows themselves, in any of the forms that files have."""


def is_path(rows: RowsOrPath | None) -> TypeIs[StrPath]:
    """Whether `rows` names a file."""
    return isinstance(rows, (str, PathLike))


def dump_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as JSON lines; what JSON does not have, a date for example, becomes a text."""
    return "".join(f"{_line(row)}\n" for row in rows)


def _line(row: Mapping[str, Any]) -> str:
    row = dict(row) if isinstance(row, Mapping) else row
    line = json.dumps(row, ensure_ascii=False, default=str)
    # Half a surrogate pair is one row's fault; as itself it would spoil the file.
    return line if is_storable(line) else json.dumps(row, default=str)


@contextmanager
def passing_file(lines: str, name: str) -> Iterator[Path]:
    """A file of `lines` that goes with the block; messages about it call it `name`."""
    with TemporaryDirectory(prefix="evoagent-") as folder:
        path = Path(folder) / f"{name}.jsonl"
        path.write_text(lines, encoding="utf-8", newline="\n")
        try:
            yield path
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from error

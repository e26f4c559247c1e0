"""Rows out of JSON, JSONL, Parquet, CSV and TSV files, each with the number of its line."""

from __future__ import annotations

import csv
import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from evoagent.datasets.forms import is_row
from evoagent.errors import DataError

Row = dict[str, Any]
Report = Callable[[int, str], None]

SUFFIXES = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}

TEXT_SUFFIXES = (".txt", ".md")
"""Of files that are a single document."""

MAX_LINE = 64 * 2**20  # bytes: one line of a hostile file must not fill the memory

_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        line: line of a JSONL, CSV or TSV file, from 1; the number of the row in other files.
        reason: what is wrong with it.
    """

    line: int
    reason: str


def read_rows(path: Path, bad: list[BadRow] | None = None) -> Iterator[tuple[int, Row]]:
    """The rows of a dataset file with all their columns, each with its line (see `BadRow.line`).

    Rows that cannot be parsed are appended to `bad`; without it the first of them raises.

    Raises:
        DataError: the file is missing, unreadable, of an unknown kind, or broken as a whole.
    """
    check_file(path)

    def report(line: int, reason: str) -> None:
        if bad is None:
            raise DataError(f"{path}: {unit_of(path)} {line}: {reason}")
        bad.append(BadRow(line, reason))

    readers = {"json": _read_json, "jsonl": _read_jsonl, "csv": _read_csv, "parquet": _read_parquet}
    return readers[SUFFIXES[path.suffix.lower()]](path, report)


def unit_of(path: Path) -> str:
    """What `BadRow.line` counts in this file."""
    return "line" if SUFFIXES.get(path.suffix.lower()) in ("jsonl", "csv") else "row"


def check_file(path: Path) -> None:
    """Raises DataError unless `path` is a file of a known kind with something in it."""
    kinds = ", ".join(SUFFIXES)
    if path.is_dir():
        inside = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES)
        raise DataError(f"{path}: is a folder; expected a file ({kinds})" + _listing("; it holds ", inside))
    if not path.exists():
        raise DataError(f"{path}: no such file" + _closest(path))
    if not path.is_file():
        raise DataError(f"{path}: is not a regular file")
    if path.suffix.lower() not in SUFFIXES:
        hint = "; a text is read with `form: documents`" if path.suffix.lower() in TEXT_SUFFIXES else ""
        raise DataError(f"{path}: the kind `{path.suffix or 'no suffix'}` is not known; expected one of {kinds}{hint}")
    try:
        with path.open("rb") as file:
            head = file.read(1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise DataError(f"{path}: is empty")


def _closest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist"
    names = sorted(entry.name for entry in path.parent.iterdir() if not entry.name.startswith("."))
    return _listing("; closest names there: ", difflib.get_close_matches(path.name, names, n=3, cutoff=0.5))


def _listing(lead: str, names: list[str]) -> str:
    return lead + ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else ""


def _read_json(path: Path, report: Report) -> Iterator[tuple[int, Row]]:
    text = _text(path)
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):  # JSONL under the name of JSON
            yield from _read_jsonl(path, report)
            return
        detail = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise DataError(f"{path}: is not valid JSON ({detail})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not usable JSON: {_why(error)}") from error
    if isinstance(content, dict):
        content = _rows_of(path, content)
    if not isinstance(content, list):
        raise DataError(f"{path}: found a single {type(content).__name__}; expected an array of rows")
    for number, item in enumerate(content, 1):
        if isinstance(item, dict):
            yield number, item
        else:
            report(number, "is not an object")


def _rows_of(path: Path, content: Row) -> list[Any]:
    """The rows of a JSON object: its only list, or the object itself where it is a row."""
    if is_row(content):
        return [content]
    lists = [key for key, value in content.items() if isinstance(value, list)]
    if len(lists) != 1:
        found = f"{len(lists)} lists ({', '.join(map(repr, lists[:5]))})" if lists else "no list"
        raise DataError(f"{path}: found an object with {found}; expected an array of rows, or an object with one list")
    rows: list[Any] = content[lists[0]]
    return rows


def _read_jsonl(path: Path, report: Report) -> Iterator[tuple[int, Row]]:
    for number, line in _lines(path, report):
        if not line or line.isspace():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            report(number, f"is not valid JSON (column {error.pos + 1}: {error.msg})")
        except (ValueError, RecursionError) as error:
            report(number, f"is not usable JSON: {_why(error)}")
        else:
            if isinstance(row, dict):
                yield number, row
            else:
                report(number, "is not an object")


def _why(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _read_csv(path: Path, report: Report) -> Iterator[tuple[int, Row]]:
    # The default of 128 KiB a field would fail the whole file for one long cell.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    lines = (line for _, line in _lines(path, partial(_too_long, path)))
    first = next(lines)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{path}: line 1: the header is broken: {error}") from error
    if not header:
        raise DataError(f"{path}: line 1: expected a header with the names of the columns")
    twice = sorted(name for name, times in Counter(header).items() if name and times > 1)
    if twice:
        raise DataError(f"{path}: line 1: the header has the column `{twice[0]}` twice")
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            if "end of data" in str(error):  # a quote that never closes has swallowed every row after it
                raise DataError(f"{path}: line {start}: a quoted field has no end") from error
            report(start, f"is not valid CSV: {error}")
            continue
        if fields is None:
            return
        if len(fields) == len(header):
            yield start, dict(zip(header, fields, strict=True))
        elif fields:
            report(start, f"has {len(fields)} fields; the header has {len(header)}")


def _too_long(path: Path, line: int, reason: str) -> None:
    raise DataError(f"{path}: line {line} {reason}")  # in CSV it may be in the middle of a row


def _read_parquet(path: Path, report: Report) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        number = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    # Texts that are not UTF-8 and dates beyond Python's are found when they become Python's values.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        detail = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(f"{path}: is not a usable Parquet file: {detail}") from error


def _lines(path: Path, report: Report) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 file, their ends kept. Only a line feed ends a line: JSON text may hold U+2028."""
    number = 0
    with path.open("rb") as file:
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(MAX_LINE)
                report(number, f"is longer than {MAX_LINE:,} bytes")
                continue
            if number == 1:
                _check_encoding(path, raw)
                raw = raw.removeprefix(_BOM)
            yield number, _decode(path, raw, number)


def _text(path: Path) -> str:
    raw = path.read_bytes()
    _check_encoding(path, raw)
    return _decode(path, raw.removeprefix(_BOM), 1)


def _decode(path: Path, raw: bytes, line: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line += raw.count(b"\n", 0, error.start)
        column = error.start - raw.rfind(b"\n", 0, error.start)
        found = f"byte 0x{raw[error.start]:02x}, the {column}. of the line"
        raise DataError(f"{path}: line {line} is not UTF-8 ({found}); expected a UTF-8 file") from error


def _check_encoding(path: Path, raw: bytes) -> None:
    for mark, name in _OTHER_BOMS.items():
        if raw.startswith(mark):
            raise DataError(f"{path}: is {name}; expected a UTF-8 file")

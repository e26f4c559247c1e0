"""Writes the dataset of a run: train.jsonl, train.parquet and the card, all of them or none."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from evoagent.datasets.replacing import replacing
from evoagent.datasets.tally import Tally

COLUMNS = (
    "id",
    "parent_ids",
    "seed_id",
    "round",
    "operator",
    "instruction",
    "input",
    "output",
    "scores",
    "data",
    "model",
    "responder",
)

RESPONSES = "responses"  # all of them, for exporters that ask for it; no column of the dataset

_ROW_GROUP = 4096  # rows of a Parquet row group, and of what is in memory at once

# Valid inside JSON text, but line ends for readers that split on all of Unicode's.
_LINE_ENDS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def write_dataset(folder: Path, rows: Iterable[Mapping[str, Any]], card: Callable[[Tally], str]) -> None:
    """Writes `rows` to `folder`, which is made if need be. Equal rows give equal bytes.

    A row has `COLUMNS` as its keys: `id` and `instruction` are required, the others may be left out or None.
    Every written row has every scorer that any row has; `scores` is null where no row has any. A score that is
    no finite number becomes null, and half a surrogate pair U+FFFD: neither can be stored.

    Args:
        card: the text of README.md, given the counts over the rows.

    Raises:
        EvoAgentError: the files cannot be written; what stood there before is untouched.
        ValueError: a row with keys that are not in `COLUMNS`.
    """
    tally = Tally()
    paths = [folder / name for name in ("train.jsonl", "train.parquet", "README.md")]
    with replacing(*paths) as (jsonl, parquet, readme), spooled(rows, folder, tally) as complete:
        with jsonl.open("w", encoding="utf-8", newline="\n") as file:
            write_parquet(parquet, _teed(complete, file), sorted(tally.scores))
        readme.write_text(card(tally), encoding="utf-8", newline="\n")


@contextmanager
def spooled(rows: Iterable[Mapping[str, Any]], folder: Path, tally: Tally) -> Iterator[Iterator[dict[str, Any]]]:
    """The rows in the form that is written, counted in `tally`.

    Their score names, and with them the Parquet schema, are complete only after the last row: so they pass
    through a nameless file in `folder` instead of memory.
    """
    with tempfile.TemporaryFile("w+", dir=folder, encoding="utf-8", newline="\n") as spool:
        for row in rows:
            row = _normal(row)
            tally.add(row)
            spool.write(dump_line(row))
        spool.seek(0)
        yield _filled(spool, sorted(tally.scores))


def _normal(row: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(row) - {*COLUMNS, RESPONSES})
    if unknown:
        raise ValueError(f"row {row.get('id')!r} has columns that a dataset has not: {', '.join(unknown)}")
    scores = {str(name): _finite(value) for name, value in sorted((row.get("scores") or {}).items())}
    return {
        "id": str(row["id"]),
        "parent_ids": [str(parent) for parent in row.get("parent_ids") or ()],
        "seed_id": _storable(row.get("seed_id")),
        "round": int(row.get("round") or 0),
        "operator": _storable(row.get("operator")),
        "instruction": _storable(row["instruction"]),
        "input": _storable(row.get("input") or ""),
        "output": _storable(row.get("output") or ""),
        "scores": scores or None,
        # As text: what plugins attach has no one schema, which Parquet and the usual loaders want.
        "data": _storable(json.dumps(row["data"], ensure_ascii=False)) if row.get("data") else None,
        "model": _storable(row.get("model")),
        "responder": _storable(row.get("responder")),
        **({RESPONSES: row[RESPONSES]} if RESPONSES in row else {}),
    }


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _storable(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def dump_line(row: Mapping[str, Any]) -> str:
    """A row as a line of JSONL, its end included."""
    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return (line if line.isascii() else line.translate(_LINE_ENDS)) + "\n"


def _filled(lines: Iterable[str], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        row = json.loads(line)
        row["scores"] = {name: (row["scores"] or {}).get(name) for name in names} or None
        yield row


def _teed(rows: Iterable[dict[str, Any]], file: Any) -> Iterator[dict[str, Any]]:
    for row in rows:
        file.write(dump_line(row))
        yield row


def write_parquet(path: Path, rows: Iterable[Mapping[str, Any]], score_names: Sequence[str]) -> None:
    """Streams rows of `COLUMNS` to a Parquet file whose `scores` is a struct of `score_names`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    # Parquet has no struct without fields.
    scores = pa.struct([(name, pa.float64()) for name in score_names]) if score_names else pa.null()
    special = {"parent_ids": pa.list_(text), "round": pa.int64(), "scores": scores}
    schema = pa.schema([(column, special.get(column, text)) for column in COLUMNS])
    iterator = iter(rows)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(iterator, _ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))

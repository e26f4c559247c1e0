"""Training files: Alpaca, ShareGPT, messages and Parquet, with the description that LLaMA-Factory reads."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import IO, Any

from evoagent.datasets.replacing import replacing
from evoagent.datasets.tally import Tally
from evoagent.datasets.writer import dump_line, spooled, write_parquet
from evoagent.errors import ConfigError, DataError
from evoagent.records import join_prompt
from evoagent.text import read_text

Row = Mapping[str, Any]
Exporter = Callable[[Row], Mapping[str, Any] | None]


def to_alpaca(row: Row) -> dict[str, Any]:
    """`instruction`, `input`, `output`."""
    return {"instruction": row["instruction"], "input": row.get("input") or "", "output": row.get("output") or ""}


def to_sharegpt(row: Row) -> dict[str, Any]:
    """`conversations` of a human and a gpt turn; the input follows the instruction."""
    prompt = join_prompt(row["instruction"], row.get("input"))
    return {"conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": row.get("output") or ""}]}


def to_messages(row: Row) -> dict[str, Any]:
    """`messages` of a user and an assistant turn; the input follows the instruction."""
    prompt = join_prompt(row["instruction"], row.get("input"))
    return {
        "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": row.get("output") or ""}]
    }


def to_parquet(row: Row) -> dict[str, Any]:
    """The row as it is, for a file that keeps every column."""
    return dict(row)


def to_preference(row: Row) -> dict[str, Any] | None:
    """`prompt`, `chosen` and `rejected`: the response that was kept and the worst of the others; None without one."""
    kept = next((item for item in row.get("responses", ()) if item["kept"]), None)
    if kept is None:
        return None
    best = _rank(kept)
    worse = [item for item in row["responses"] if _rank(item) < best and item["response"] != kept["response"]]
    if not worse:
        return None
    rejected = min(worse, key=_rank)
    prompt = join_prompt(row["instruction"], row.get("input"))
    return {"prompt": prompt, "chosen": kept["response"], "rejected": rejected["response"]}


def _rank(response: Mapping[str, Any]) -> float:
    return -math.inf if response["rank"] is None else float(response["rank"])


_ADVICE = {
    "preference": ", since none has a response that ranks lower than its own: set critic.responses above 1, and "
    "critic.response_selector to one that ranks them"
}

INFO = "dataset_info.json"
MAX_INFO = 1 << 24  # characters

_ALPACA = {"columns": {"prompt": "instruction", "query": "input", "response": "output"}}
_DESCRIPTIONS: Mapping[str, Mapping[str, Any]] = {
    "alpaca": {"formatting": "alpaca", **_ALPACA},
    "parquet": {"formatting": "alpaca", **_ALPACA},
    "preference": {
        "formatting": "alpaca",
        "ranking": True,
        "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    },
    "sharegpt": {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
    },
    "messages": {
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    },
}


def export(rows: Iterable[Row], format: str, out: Path, convert: Exporter) -> int:
    """Writes rows of a dataset (see `write_dataset`) to the file `out` as training data; returns how many were written.

    A `.json` file becomes an array, every other an object a line, `parquet` a Parquet file. For the formats
    that LLaMA-Factory can read, an entry with the file's stem as its name is put into `dataset_info.json` beside it;
    the other entries there stay.

    Args:
        format: its name; `parquet` alone is written as Parquet.
        convert: makes a training row of a row of the dataset, or None to leave it out.

    Raises:
        DataError: no rows, `out` is a folder, or a `dataset_info.json` that is not ours to repair.
        EvoAgentError: a file cannot be written. Nothing is changed in either case.
    """
    if out.is_dir():
        raise DataError(f"{out}: is a folder; expected the name of a file")
    if out.name == INFO:
        raise DataError(f"{out}: is the name of the description that goes with the data; choose another")
    iterator = iter(rows)
    first = next(iterator, None)
    if first is None:
        raise DataError(f"{out}: there are no rows to export")

    targets = [out]
    info = _info(out, format) if format in _DESCRIPTIONS else None
    if info is not None:
        targets.append(out.parent / INFO)
    with replacing(*targets) as (data, *description):
        tally, written = Tally(), Counter[str]()
        with spooled(chain([first], iterator), out.parent, tally) as complete:
            converted = _counted(map(convert, complete), written)
            if format == "parquet":
                write_parquet(data, converted, sorted(tally.scores))
            else:
                with data.open("w", encoding="utf-8", newline="\n") as file:
                    _write_json(file, converted, array=out.suffix.lower() == ".json")
        if info is not None:
            text = json.dumps(info, ensure_ascii=False, indent=2)
            description[0].write_text(text + "\n", encoding="utf-8", newline="\n")
        if not written.total():
            raise DataError(f"{out}: the format `{format}` leaves out every row{_ADVICE.get(format, '')}")
    return written.total()


def _counted(rows: Iterable[Mapping[str, Any] | None], written: Counter[str]) -> Iterator[Mapping[str, Any]]:
    """Those that are rows, counted."""
    for row in rows:
        if row is not None:
            written["rows"] += 1
            yield row


def _write_json(file: IO[str], rows: Iterable[Mapping[str, Any]], array: bool) -> None:
    for number, row in enumerate(rows):
        if array:
            file.write("[\n" if number == 0 else ",\n")
        line = dump_line(row)
        file.write(line.rstrip("\n") if array else line)
    if array:
        file.write("\n]\n")


def _info(out: Path, format: str) -> dict[str, Any]:
    path = out.parent / INFO
    try:
        content = json.loads(read_text(path, MAX_INFO).removeprefix("\ufeff")) if path.exists() else {}
    except (ConfigError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not readable JSON ({error}); expected the datasets of LLaMA-Factory") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: found a {type(content).__name__}; expected an object of datasets")
    return content | {out.stem: {"file_name": out.name, **_DESCRIPTIONS[format]}}

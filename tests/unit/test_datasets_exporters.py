"""Training files in the forms of the trainers, described for LLaMA-Factory."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from evoagent.config.model import SeedsConfig
from evoagent.datasets import exporters
from evoagent.datasets.seeds import read_seeds
from evoagent.errors import DataError
from evoagent.plugins.manager import PluginManager

FORMATS = ("alpaca", "sharegpt", "messages", "parquet")

ROWS: list[dict[str, Any]] = [
    {"id": "a", "instruction": "Sum up.", "input": "Long.", "output": "Short.", "round": 1, "scores": {"ifd": 0.5}},
    {"id": "b", "instruction": "Say hello 🦜.", "input": "", "output": "Hello!", "round": 1, "scores": {"length": 2.0}},
]

WANTED = {
    "alpaca": {"instruction": "Sum up.", "input": "Long.", "output": "Short."},
    "sharegpt": {"conversations": [{"from": "human", "value": "Sum up.\nLong."}, {"from": "gpt", "value": "Short."}]},
    "messages": {
        "messages": [{"role": "user", "content": "Sum up.\nLong."}, {"role": "assistant", "content": "Short."}]
    },
}


def export(rows: Iterable[dict[str, Any]], format: str, out: Path) -> int:
    return exporters.export(rows, format, out, getattr(exporters, f"to_{format}"))


@pytest.mark.parametrize("format", WANTED)
def test_rows_in_the_form_of_the_trainer(tmp_path: Path, format: str) -> None:
    out = tmp_path / "new" / "data.jsonl"
    assert export(iter(ROWS), format, out) == 2
    lines = out.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == WANTED[format]
    assert "🦜" in lines[1]
    assert sorted(path.name for path in out.parent.iterdir()) == ["data.jsonl", "dataset_info.json"]


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_exported_can_be_read_as_seeds(tmp_path: Path, format: str) -> None:
    name = "data.parquet" if format == "parquet" else "data.jsonl"
    export(ROWS, format, tmp_path / name)
    batch = read_seeds(SeedsConfig(path=name), tmp_path)
    assert [seed.prompt_text for seed in batch.instructions] == ["Sum up.\nLong.", "Say hello 🦜."]
    assert [seed.output for seed in batch.instructions] == ["Short.", "Hello!"]
    assert batch.format == ("alpaca" if format == "parquet" else format)


def test_parquet_keeps_every_column_and_score(tmp_path: Path) -> None:
    export(ROWS, "parquet", tmp_path / "data.parquet")
    table = pq.read_table(tmp_path / "data.parquet").to_pylist()
    assert [row["id"] for row in table] == ["a", "b"]
    assert [row["scores"] for row in table] == [{"ifd": 0.5, "length": None}, {"ifd": None, "length": 2.0}]


def test_a_json_file_is_an_array(tmp_path: Path) -> None:
    export(ROWS, "alpaca", tmp_path / "data.json")
    assert json.loads((tmp_path / "data.json").read_text(encoding="utf-8"))[0] == WANTED["alpaca"]


@pytest.mark.parametrize("format", FORMATS)
def test_the_description_fits_the_file(tmp_path: Path, format: str) -> None:
    """Reads the file with nothing but its description, in the way that LLaMA-Factory documents it."""
    out = tmp_path / ("data.parquet" if format == "parquet" else "data.jsonl")
    export(ROWS, format, out)
    entry = json.loads((tmp_path / "dataset_info.json").read_text())["data"]
    assert entry["file_name"] == out.name
    file = tmp_path / entry["file_name"]
    if format == "parquet":
        row = pq.read_table(file).to_pylist()[0]
    else:
        row = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    columns = entry["columns"]
    if entry["formatting"] == "alpaca":
        pair = (f"{row[columns['prompt']]}\n{row[columns['query']]}", row[columns["response"]])
    else:
        tags = entry["tags"]
        turns = {turn[tags["role_tag"]]: turn[tags["content_tag"]] for turn in row[columns["messages"]]}
        pair = (turns[tags["user_tag"]], turns[tags["assistant_tag"]])
    assert pair == ("Sum up.\nLong.", "Short.")


def test_other_datasets_keep_their_descriptions(tmp_path: Path) -> None:
    info = tmp_path / "dataset_info.json"
    info.write_text('{"mine": {"file_name": "mine.json"}}')
    export(ROWS, "alpaca", tmp_path / "one.jsonl")
    export(ROWS, "messages", tmp_path / "two.jsonl")
    assert list(json.loads(info.read_text())) == ["mine", "one", "two"]


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_description_is_not_overwritten(tmp_path: Path, content: str) -> None:
    info = tmp_path / "dataset_info.json"
    info.write_text(content)
    with pytest.raises(DataError, match=r"dataset_info.json: .*expected"):
        export(ROWS, "alpaca", tmp_path / "data.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["dataset_info.json"]
    assert info.read_text() == content


def test_a_form_of_ones_own(tmp_path: Path) -> None:
    out = tmp_path / "data.jsonl"
    exporters.export(ROWS, "shout", out, lambda row: {"text": row["instruction"].upper()})
    assert out.read_text(encoding="utf-8").splitlines()[0] == '{"text": "SUM UP."}'
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_wrong_requests(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the format `mute` leaves out every row$"):
        exporters.export(ROWS, "mute", tmp_path / "data.jsonl", lambda row: None)
    with pytest.raises(DataError, match="is a folder; expected the name of a file"):
        export(ROWS, "alpaca", tmp_path)
    with pytest.raises(DataError, match="there are no rows to export"):
        export([], "alpaca", tmp_path / "data.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_the_exporters_come_as_plugins() -> None:
    manager = PluginManager().load()
    for name in FORMATS:
        assert manager.create(manager.get("exporter", name), {})(ROWS[0])

"""What a command writes replaces no file of a run, no input, and nothing of the user's beside it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evoagent.cli.app import app
from evoagent.config.model import RunConfig
from evoagent.errors import UserError
from evoagent.plugins.manager import PluginManager
from evoagent.reports.exporting import export_run
from evoagent.runs.driving import run_graph
from evoagent.runs.opening import open_run

Make = Callable[..., RunConfig]


@pytest.fixture
async def run(toy_config: Make, run_toy: Any, tmp_path: Path) -> Path:
    await run_toy(toy_config(stop={"rounds": 1}))
    return tmp_path / "run"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "name",
    ["ledger.db", "ledger.db-wal", "events.jsonl", "config.yaml", ".lock", "dataset/train.jsonl", "dataset/README.md"],
)
async def test_export_spares_the_run(run: Path, name: str) -> None:
    before = everything(run)
    with pytest.raises(UserError, match="belongs to the run, and would be replaced"):
        export_run(run, "alpaca", run / name)
    with pytest.raises(UserError, match="belongs to the run"):
        export_run(run, "alpaca", run / "dataset" / ".." / name)
    assert everything(run) == before


async def test_export_spares_the_run_under_other_names(run: Path, tmp_path: Path) -> None:
    before = everything(run)
    (tmp_path / "link").symlink_to(run)
    os.link(run / "ledger.db", run / "dataset" / "hard.jsonl")
    for out in (tmp_path / "link" / "ledger.db", run / "dataset" / "hard.jsonl"):
        with pytest.raises(UserError, match="belongs to the run"):
            export_run(run, "alpaca", out)
    (run / "dataset" / "hard.jsonl").unlink()
    assert everything(run) == before
    path, rows = export_run(run, "alpaca", run / "dataset" / "mine.jsonl")
    assert rows == len(path.read_text().splitlines())


def test_score_spares_its_input_and_what_lies_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"instruction": "Name a tree.", "output": "An oak."}) + "\n")
    mine = tmp_path / "out.jsonl.part"
    mine.write_text("my own")
    text = data.read_text()
    arguments = ["score", "data.jsonl", "--scorer", "length", "--engine", "scripted", "--out"]
    for out in ("data.jsonl", "../" + tmp_path.name + "/data.jsonl"):
        refused = CliRunner().invoke(app, [*arguments, out])
        assert isinstance(refused.exception, UserError)
        assert "is read, and would be replaced" in str(refused.exception)
    assert data.read_text() == text
    scored = CliRunner().invoke(app, [*arguments, "out.jsonl"])
    assert scored.exit_code == 0, scored.output
    assert json.loads((tmp_path / "out.jsonl").read_text())["scores"] == {"length": 3.0}
    assert mine.read_text() == "my own"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data.jsonl",
        "out.jsonl",
        "out.jsonl.ledger.db",
        "out.jsonl.part",
    ]


@pytest.mark.parametrize("name", ["ledger.db", "events.jsonl", "config.yaml", "dataset", ".lock"])
async def test_a_run_writes_through_no_link(
    toy_config: Make, manager: PluginManager, tmp_path: Path, name: str
) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    out.mkdir()
    if name == "dataset":
        mine.mkdir()
    else:
        mine.write_bytes(b"")
    (out / "ledger.db").touch()
    (out / name).unlink(missing_ok=True)
    (out / name).symlink_to(mine)
    with pytest.raises(UserError, match=f"{name}: is a symbolic link"):
        async with open_run(toy_config(stop={"rounds": 1}), tmp_path, out, manager) as context:
            await run_graph(context)
    assert not any(mine.iterdir()) if mine.is_dir() else mine.read_bytes() == b""


def test_a_scorer_that_is_nested_too_deeply(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"instruction": "Name a tree.", "output": "An oak."}) + "\n")
    for text in ("[" * 5000, "a: &a [*a]", "length: {x: 1"):
        refused = CliRunner().invoke(app, ["score", str(data), "--scorer", text])
        assert isinstance(refused.exception, UserError), refused.exception
        assert "--scorer: expected a name" in str(refused.exception)


def test_score_writes_what_json_has(tmp_path: Path) -> None:
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    data.write_text('{"instruction": "Name a tree.", "output": "An oak.", "at": [NaN, {"b": -Infinity}, 1.5]}\n')
    scored = CliRunner().invoke(
        app, ["score", str(data), "--scorer", "length", "--engine", "scripted", "--out", str(out)]
    )
    assert scored.exit_code == 0, scored.output
    row = json.loads(out.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert row["at"] == [None, {"b": None}, 1.5]


async def test_what_is_no_file_is_not_replaced(run: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"instruction": "Name a tree.", "output": "An oak."}) + "\n")
    with pytest.raises(UserError, match="no regular file"):
        export_run(run, "alpaca", pipe)
    arguments = ["score", str(data), "--scorer", "length", "--engine", "scripted", "--out", str(pipe)]
    refused = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert isinstance(refused.exception, UserError)
    assert pipe.is_fifo()


async def test_links_lead_to_what_is_refused_or_stay_links(run: Path, tmp_path: Path) -> None:
    before = everything(run)
    for name in ("ledger.db", "dataset/train.jsonl"):
        link = tmp_path / "picture.png"
        link.unlink(missing_ok=True)
        link.symlink_to(run / name)
        assert isinstance(CliRunner().invoke(app, ["graph", "--png", str(link)]).exception, UserError)
    assert everything(run) == before
    mine = tmp_path / "mine.jsonl"
    mine.write_text("old")
    (tmp_path / "link.jsonl").symlink_to(mine)
    export_run(run, "alpaca", tmp_path / "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert mine.read_text() != "old"
    with pytest.raises(UserError, match="the name of the description"):
        export_run(run, "alpaca", tmp_path / "dataset_info.json")


async def test_a_run_with_a_pipe_in_its_place_is_refused(run: Path, toy_config: Make, run_toy: Any) -> None:
    (run / "events.jsonl").unlink()
    os.mkfifo(run / "events.jsonl")
    with pytest.raises(UserError, match="no regular file"):
        await run_toy(toy_config(stop={"rounds": 2}))

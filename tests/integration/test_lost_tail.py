"""A ledger that has lost its end, by a power cut or an older copy: the run goes on from what the ledger says."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from evoagent.plugins.manager import PluginManager
from evoagent.runs.config_file import load_config
from evoagent.runs.driving import run_graph
from evoagent.runs.opening import open_run


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    def make(**stop: object) -> Path:
        with (tmp_path / "seeds.jsonl").open("w") as file:
            for number in range(20):
                row = {"instruction": f"Describe thing number {number} in the museum.", "output": f"It is {number}."}
                file.write(json.dumps(row) + "\n")
        options = {"batch": 4, "delay": 0.01}
        role = {"engine": "scripted", "model": "toy", "options": options, "sampling": {"temperature": 0.7}}
        values = {
            "seeds": {"path": "seeds.jsonl"},
            "models": {"evolver": role},
            "evolver": {"operators": ["constraints", "deepening"], "style": "plain"},
            "critic": {"scorers": ["ifd"]},
            "eliminator": {"rules": ["extracted", "unchanged"]},
            "stop": {"rounds": 3} | stop,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return make


async def finish(config: Path, out: Path) -> bytes:
    manager = PluginManager().load()
    loaded = load_config(config, {}, manager)
    async with open_run(loaded.config, loaded.base, out, manager) as context:
        await run_graph(context)
    return (out / "dataset" / "train.jsonl").read_bytes()


def kill_at(config: Path, out: Path, seen: str, least: int) -> None:
    """Run until the query `seen` counts `least`, then kill -9."""
    process = subprocess.Popen(
        [sys.executable, "-m", "evoagent", "run", str(config), "--out", str(out)], stderr=subprocess.DEVNULL
    )
    while process.poll() is None and count(out, seen) < least:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert count(out, seen) >= least


def count(out: Path, query: str) -> int:
    if not (out / "ledger.db").exists():
        return 0
    connection = sqlite3.connect(f"file:{out / 'ledger.db'}?mode=ro", uri=True)
    try:
        return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


CRITICISED = "select count(*) from candidates where round = 2 and response is not null"
EVOLVED = "select count(*) from candidates where round = 2"
DECIDED = "select count(*) from verdicts where round = 1"


@pytest.mark.parametrize(("stop", "cuts"), [({}, 20), ({"minutes": 60}, 4)])
async def test_any_part_of_the_end_may_be_lost(
    config: Callable[..., Path], tmp_path: Path, stop: dict[str, float], cuts: int
) -> None:
    file = config(**stop)
    whole = await finish(file, tmp_path / "whole")
    assert whole.count(b"\n") > 20
    kill_at(file, tmp_path / "killed", CRITICISED, 5)
    log = (tmp_path / "killed" / "ledger.db-wal").read_bytes()
    assert len(log) > 100_000, "the whole run is in the write-ahead log still"
    for number in range(1, cuts + 1):
        cut = tmp_path / f"cut-{number}"
        shutil.copytree(tmp_path / "killed", cut)
        (cut / "ledger.db-wal").write_bytes(log[: len(log) * number // (cuts + 1)])
        assert await finish(file, cut) == whole, f"{number} of {cuts + 1} parts of the log are left"


async def test_an_older_copy_is_put_back(config: Callable[..., Path], tmp_path: Path) -> None:
    file, out = config(), tmp_path / "run"
    whole = await finish(file, tmp_path / "whole")
    copies = []
    for moment, seen in enumerate((DECIDED, EVOLVED, CRITICISED)):
        kill_at(file, out, seen, 5)
        copies.append(tmp_path / f"copy-{moment}")
        shutil.copytree(out, copies[-1])
    for copy in copies[:2]:
        for ledger in (["ledger.db", "ledger.db-wal"], ["ledger.db"]):
            back = tmp_path / f"back-{copy.name}-{len(ledger)}"
            shutil.copytree(out, back)
            for newer in back.glob("ledger.db*"):
                newer.unlink()
            for name in ledger:
                shutil.copy(copy / name, back / name)
            assert await finish(file, back) == whole, f"{copy.name}: {ledger}"

"""A run that is killed, interrupted or starved goes on to the dataset of a run that was not."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

SEEDS = 40


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with (tmp_path / "seeds.jsonl").open("w") as file:
        for number in range(SEEDS):
            row = {"instruction": f"Describe thing number {number} in the museum.", "output": f"Thing {number} is old."}
            file.write(json.dumps(row) + "\n")
    path = tmp_path / "config.yaml"
    options = {"batch": 2, "delay": 0.02}
    role = {"engine": "scripted", "model": "toy", "options": options, "sampling": {"temperature": 0.7}}
    values = {
        "seeds": {"path": "seeds.jsonl"},
        "models": {"evolver": role, "embedder": "evolver"},
        "evolver": {"operators": ["constraints", "deepening"], "style": "plain"},
        "critic": {"scorers": ["ifd", "ic_ifd", "length", "embedding_diversity"]},
        "eliminator": {"rules": ["extracted", "unchanged", {"near_duplicate": {"max_similarity": 0.999}}]},
        "stop": {"rounds": 2},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def start(config: Path, out: Path, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "evoagent", "run", str(config), "--out", str(out), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before)


def finish(config: Path, out: Path) -> dict[str, object]:
    process = start(config, out)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    summary: dict[str, object] = json.loads(stdout)
    return summary


def dataset(out: Path) -> bytes:
    return (out / "dataset" / "train.jsonl").read_bytes()


def test_killed_again_and_again(config: Path, tmp_path: Path) -> None:
    whole = finish(config, tmp_path / "whole")
    moments = random.Random(7)
    killed = 0
    for _ in range(5):
        process = start(config, tmp_path / "killed")
        ledger = tmp_path / "killed" / "ledger.db"
        while not ledger.exists() and process.poll() is None:
            time.sleep(0.02)
        time.sleep(moments.uniform(0.05, 1.0))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 3, "the run is too short to be killed"
    resumed = finish(config, tmp_path / "killed")
    assert dataset(tmp_path / "killed") == dataset(tmp_path / "whole")
    for key in ("rounds", "candidates", "survivors", "rejected"):
        assert resumed[key] == whole[key]


def test_ctrl_c_writes_what_is_done_and_says_how_to_go_on(config: Path, tmp_path: Path) -> None:
    whole = finish(config, tmp_path / "whole")
    process = start(config, tmp_path / "stopped")
    while not (tmp_path / "stopped" / "ledger.db").exists():
        time.sleep(0.02)
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same command again to go on" in stderr
    assert "Traceback" not in stderr
    resumed = finish(config, tmp_path / "stopped")
    assert dataset(tmp_path / "stopped") == dataset(tmp_path / "whole")
    assert resumed["requests"]["sent"] == whole["requests"]["sent"]  # type: ignore[index]


def test_two_processes_do_not_share_a_directory(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("delay: 0.02", "delay: 0.1"))  # it lasts until the second has begun
    first = start(config, tmp_path / "run")
    while not (tmp_path / "run" / "ledger.db").exists():
        time.sleep(0.02)
    second = start(config, tmp_path / "run")
    _, stderr = second.communicate(timeout=30)
    assert second.returncode == 2
    assert "another evoagent process is working in it" in stderr
    first.communicate(timeout=120)
    assert first.returncode == 0


def test_a_full_disk_keeps_what_was_written(config: Path, tmp_path: Path) -> None:
    def small_files() -> None:
        # Every write beyond this size fails, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (160_000, 160_000))

    process = start(config, tmp_path / "run", small_files)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stderr
    assert "full" in stderr
    assert "Traceback" not in stderr
    assert (tmp_path / "run" / "ledger.db").stat().st_size > 0
    finish(config, tmp_path / "run")
    finish(config, tmp_path / "whole")
    assert dataset(tmp_path / "run") == dataset(tmp_path / "whole")

"""The terminal shows strange text and obeys none of it; a message that cannot be written costs no run its dataset."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

HOSTILE = ["\x1b]0;pwned\x07", "\x9b31m", "\u202eback", "a\rb", "\x7f", "\u2066in"]
HARMLESS = "😀 مرحبا 你好 👩\u200d🔬"
# What none of them may become on its way out, UTF-8 of C1 and of the changes of direction included.
RAW = [b"\x1b", b"\x07", b"\xc2\x9b", b"\xe2\x80\xae", b"\xe2\x81\xa6", b"\r", b"\x7f"]
EVOAGENT = [sys.executable, "-m", "evoagent"]
BASH = f"{sys.executable} -m evoagent"


def harmless(output: bytes) -> bool:
    return not any(raw in output for raw in RAW)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    with (folder / "seeds.jsonl").open("w") as file:
        for number in range(12):
            text = f"Describe thing {number} {HOSTILE[number % len(HOSTILE)]} of the museum. {HARMLESS}"
            file.write(json.dumps({"instruction": text, "output": f"Thing {number} is \x1b[2J old."}) + "\n")
    role = {"engine": "scripted", "model": "toy", "options": {"batch": 2, "delay": 0.02}}
    values = {
        "seeds": {"path": "seeds.jsonl"},
        "models": {"evolver": role},
        "evolver": {"operators": ["constraints"], "style": "plain"},
        "critic": {"scorers": ["length"]},
        "eliminator": {"rules": ["extracted"]},
        "stop": {"rounds": 2},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder


def evoagent(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*EVOAGENT, *arguments], cwd=cwd, capture_output=True, timeout=120, check=False, **options)


def bash(command: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def whole(project: Path) -> subprocess.CompletedProcess[bytes]:
    """A run that nobody disturbs, to a folder of a hostile name."""
    done = evoagent("run", "config.yaml", "--out", "whole\x1b]0;pwned\x07\x9b31m", cwd=project)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def dataset(project: Path, whole: object) -> bytes:
    (found,) = project.glob("whole*/dataset/train.jsonl")
    return found.read_bytes()


# -- what is shown ------------------------------------------------------------------------------------------------


def test_a_run_shows_its_folder_and_obeys_nothing(whole: subprocess.CompletedProcess[bytes]) -> None:
    assert harmless(whole.stdout)
    assert harmless(whole.stderr)
    assert rb"run whole\x1b]0;pwned\x07\x9b31m" in whole.stderr
    assert rb"dataset     whole\x1b]0;pwned\x07\x9b31m/dataset/train.jsonl" in whole.stdout


def test_lineage_shows_and_obeys_nothing(project: Path, dataset: bytes) -> None:
    (folder,) = project.glob("whole*")
    with closing(sqlite3.connect(folder / "ledger.db")) as ledger:
        found = ledger.execute("select instruction, id from instructions").fetchall()
    for text, shown in (("\x1b]0;", rb"\x1b]0;pwned\x07"), ("\x9b31m", rb"\x9b31m"), ("\u202e", rb"\u202eback")):
        id = next(id for instruction, id in found if text in instruction)
        done = evoagent("lineage", str(folder), id, cwd=project)
        assert done.returncode == 0, done.stderr
        assert harmless(done.stdout)
        assert shown in done.stdout
        assert HARMLESS.encode() in done.stdout


def test_lineage_as_json_is_what_it_was(project: Path, dataset: bytes) -> None:
    row = next(row for row in map(json.loads, dataset.splitlines()) if "\x9b31m" in row["instruction"])
    (folder,) = project.glob("whole*")
    done = evoagent("lineage", str(folder), row["id"], "--json", cwd=project)
    assert harmless(done.stdout)
    assert rb"\u009b31m" in done.stdout
    assert HARMLESS.encode() in done.stdout
    found = json.loads(done.stdout)
    assert found["run"] == str(folder)
    assert row["instruction"] in [step["kept"]["instruction"] for step in found["steps"] if step["kept"]]
    assert "\x9b31m" in found["seed"]["instruction"]


def test_an_error_quotes_a_hostile_key(project: Path) -> None:
    text = (project / "config.yaml").read_text() + r'"\e]0;pwned\a\x9B31m\u202Eback": 1' + "\n"
    (project / "hostile.yaml").write_text(text)
    done = evoagent("run", "hostile.yaml", "--out", "never", cwd=project)
    assert done.returncode == 2
    assert harmless(done.stderr)
    assert rb"\x1b]0;pwned\x07\x9b31m\u202eback" in done.stderr


def test_scores_on_standard_output(project: Path) -> None:
    rows = [{"instruction": f"Say {text} {HARMLESS}.", "output": "So."} for text in HOSTILE]
    (project / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = evoagent("score", "data.jsonl", "--scorer", "length", "--engine", "scripted", "--model", "toy", cwd=project)
    assert done.returncode == 0, done.stderr
    assert harmless(done.stdout)
    assert HARMLESS.encode() in done.stdout
    assert [json.loads(line)["instruction"] for line in done.stdout.splitlines()] == [r["instruction"] for r in rows]


def test_a_review_shows_and_obeys_nothing(project: Path) -> None:
    done = evoagent("run", "config.yaml", "--out", "review", "--review", cwd=project, input=b"s\np\n" * 5 + b"q\n")
    assert done.returncode == 130
    assert harmless(done.stderr)
    assert rb"\x1b]0;pwned\x07" in done.stderr
    assert "👩\u200d🔬".encode() in done.stderr


def test_half_a_character_is_no_traceback(project: Path) -> None:
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = evoagent("graph", "--png", os.fsdecode(b"picture\xff.png"), cwd=project, env=strict)
    assert (done.returncode, done.stdout, done.stderr) == (0, rb"picture\udcff.png" + b"\n", b"")


def test_a_terminal_shows_the_folder_and_obeys_only_the_bars(project: Path, dataset: bytes) -> None:
    with Terminal() as terminal:
        process = terminal.run("config.yaml", "--out", "bars\x1b]0;pwned\x07\x9b31m:bug:", cwd=project)
        seen = b"".join(terminal.read())
        assert process.wait(timeout=120) == 0
    assert rb"\x1b]0;pwned\x07\x9b31m:bug:" in seen
    assert b"\x1b]0;" not in seen
    assert "━".encode() in seen, "bars, not lines"
    (found,) = project.glob("bars*/dataset/train.jsonl")
    assert found.read_bytes() == dataset


# -- what cannot be written ---------------------------------------------------------------------------------------

REDIRECTIONS = {
    "head": ("2>&1 | head -1; exit ${PIPESTATUS[0]}", 0),
    "no output": (">&-", 0),
    "no errors": ("2>&-", 0),
    "nothing": (">&- 2>&- <&-", 0),
    "full errors": ("2>/dev/full", 0),
    "full output": (">/dev/full", 1),
}


@pytest.mark.parametrize(("redirection", "code"), REDIRECTIONS.values(), ids=list(REDIRECTIONS))
def test_a_run_ends_with_its_dataset(
    project: Path, dataset: bytes, tmp_path: Path, redirection: str, code: int
) -> None:
    done = bash(f"{BASH} run config.yaml --out {tmp_path}/run {redirection}", project)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "run" / "dataset" / "train.jsonl").read_bytes() == dataset
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    if redirection == ">/dev/full":
        assert done.stderr.endswith(b"\nerror: standard output: No space left on device\n")
    if redirection.startswith("2>"):
        assert done.stdout


def test_a_run_survives_whoever_reads_its_messages(project: Path, dataset: bytes, tmp_path: Path) -> None:
    command = [*EVOAGENT, "run", "config.yaml", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    while b"evolver" not in process.stderr.readline():
        pass
    process.stderr.close()
    assert b"dataset  " in process.stdout.read()
    assert process.wait(timeout=120) == 0
    process.stdout.close()
    assert (tmp_path / "run" / "dataset" / "train.jsonl").read_bytes() == dataset


def test_a_run_survives_its_terminal(project: Path, dataset: bytes, tmp_path: Path) -> None:
    with Terminal() as terminal:
        process = terminal.run("config.yaml", "--out", str(tmp_path / "run"), cwd=project)
        for part in terminal.read():
            if b"round 1 evolver" in part:
                break
        assert process.poll() is None
    assert process.wait(timeout=120) == 0
    assert (tmp_path / "run" / "dataset" / "train.jsonl").read_bytes() == dataset


@pytest.mark.parametrize("command", ["validate config.yaml --json", "--help"])
def test_data_that_cannot_be_written(project: Path, command: str) -> None:
    done = bash(f"{BASH} {command} >/dev/full", project)
    assert (done.returncode, done.stderr) == (1, b"error: standard output: No space left on device\n")
    done = bash(f"{BASH} {command} | true; exit ${{PIPESTATUS[0]}}", project)
    assert done.returncode == 0
    assert b"error" not in done.stderr
    done = bash(f"{BASH} {command} >&-", project)
    assert done.returncode == 0
    assert b"error" not in done.stderr


def test_scores_that_nobody_reads_end_the_scoring(project: Path, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"instruction": "Say so.", "output": "So."}\n' * 2000)
    score = f"{BASH} score {tmp_path}/data.jsonl --scorer length --engine scripted --model toy"
    done = bash(f"{score} | head -1; exit ${{PIPESTATUS[0]}}", project)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert b"rows scored" not in done.stderr
    assert b"Traceback" not in done.stderr
    done = bash(f"{score} >/dev/full", project)
    assert done.returncode == 1
    assert done.stderr.endswith(b"error: standard output: No space left on device\n")
    assert b"Traceback" not in done.stderr


def test_an_error_of_the_system_is_one_line(project: Path) -> None:
    name = "x" * 300
    done = evoagent("lineage", name, "--row", "1", cwd=project)
    assert done.returncode == 2
    assert done.stderr.decode() == f"error: {name}/ledger.db: File name too long\n"


class Terminal:
    """A terminal that shows the messages of a run."""

    def __enter__(self) -> Terminal:
        self._ours, self._theirs = pty.openpty()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours)

    def run(self, *arguments: str, cwd: Path) -> subprocess.Popen[bytes]:
        command = [*EVOAGENT, "run", *arguments]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
        process = subprocess.Popen(
            command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=self._theirs, stdin=subprocess.DEVNULL, env=environment
        )
        os.close(self._theirs)
        return process

    def read(self) -> Iterator[bytes]:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                yield os.read(self._ours, 4096)
            except OSError:  # the process has ended
                return

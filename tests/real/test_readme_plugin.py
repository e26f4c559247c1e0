"""The plugin of the README, made from its text alone, installed with pip, in a run with real weights."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(after: str, language: str) -> str:
    """The first fenced block of `language` behind a text of the README."""
    rest = README[README.index(after) :]
    found = re.search(rf"```{language}\n(.*?)```", rest, re.DOTALL)
    assert found, f"the README has no {language} behind {after!r}"
    return found[1]


def test_the_readmes_plugin(tmp_path: Path) -> None:
    code, project = block("`evoagent_mistake.py`", "python"), block("and `pyproject.toml`", "toml")
    assert sum(bool(line.strip()) for line in code.splitlines()) < 15
    package = tmp_path / "package"
    package.mkdir()
    (package / "evoagent_mistake.py").write_text(code)
    (package / "pyproject.toml").write_text(project)
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target, package], check=True)
    environment = os.environ | {"PYTHONPATH": str(target)}

    commands = [line.removeprefix("$ ") for line in block("and `pyproject.toml`", "console").splitlines()]
    assert commands[0] == "pip install ."
    (check, run) = commands[1:]

    def shell(command: str) -> subprocess.CompletedProcess[str]:
        program = command.replace("evoagent", f"{sys.executable} -m evoagent", 1)
        found = subprocess.run(program, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert found.returncode == 0, found.stdout + found.stderr
        return found

    shell(check)
    summary = json.loads(shell(f"{run} --limit 14 --rounds 1 --json").stdout)
    rows = [json.loads(line) for line in (tmp_path / "runs/mistake/dataset/train.jsonl").read_text().splitlines()]
    assert summary["survivors"] == len(rows)
    written = [row["instruction"] for row in rows if row["operator"] == "mistake"]
    assert written, "some of what it wrote survives"
    assert all("common mistake" in text for text in written)

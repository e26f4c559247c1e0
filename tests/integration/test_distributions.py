"""The distributions in plugins/, built, installed as wheels and used as installed: never from their source tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them installed, without their sources."""
    folder = tmp_path_factory.mktemp("distributions")
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    sources = folder / "sources"
    for name in NAMES:  # building leaves files behind, so it works on a copy
        shutil.copytree(ROOT / "plugins" / name, sources / name, ignore=shutil.ignore_patterns("build", "dist"))
    packages = [str(sources / name) for name in NAMES]
    subprocess.run([*PIP, "wheel", *offline, "--wheel-dir", str(folder / "wheels"), *packages], check=True)
    wheels = sorted((folder / "wheels").glob("*.whl"))
    assert len(wheels) == len(NAMES) >= 4
    subprocess.run([*PIP, "install", *offline, "--target", str(folder / "site"), *map(str, wheels)], check=True)
    return folder / "site"


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    def start(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", *arguments]
        found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
        assert found.returncode == code, found.stdout + found.stderr
        return found

    return start


def own(run: Run, name: str) -> list[dict[str, Any]]:
    rows = json.loads(run("evoagent", "plugins", "list", "--json").stdout)
    return [row for row in rows if row["distribution"] == name]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_found_and_whole(run: Run, name: str) -> None:
    rows = own(run, name)
    assert rows
    for row in rows:
        assert (row["status"], bool(row["summary"]), bool(row["version"])) == ("ok", True, True), row
        shown = run("evoagent", "plugins", "show", row["name"]).stdout
        assert name in shown
        assert row["name"] in (ROOT / "plugins" / name / "README.md").read_text(), "its README tells of it"


@pytest.mark.parametrize("name", NAMES)
def test_it_passes_the_authors_check(run: Run, name: str) -> None:
    run("evoagent", "plugins", "check", name)


@pytest.mark.parametrize("name", NAMES)
def test_it_passes_its_own_tests_as_installed(run: Run, name: str, site: Path, tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    shutil.copytree(ROOT / "plugins" / name / "tests", tests)
    module = name.replace("-", "_")
    assert (site / module / "__init__.py").exists()
    found = run(
        "pytest", str(tests), "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--rootdir", str(tests)
    )
    assert " passed" in found.stdout
    assert "skipped" not in found.stdout


@pytest.mark.parametrize("name", NAMES)
def test_it_may_be_used_and_passed_on(name: str) -> None:
    text = (ROOT / "plugins" / name / "pyproject.toml").read_text()
    assert 'license = "Apache-2.0"' in text
    assert (ROOT / "plugins" / name / "src" / name.replace("-", "_") / "py.typed").exists()


def test_they_can_be_turned_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOAGENT_DISABLE_PLUGINS", "all")
    for name in NAMES:
        assert {row["status"] for row in own(run, name)} == {"disabled by EVOAGENT_DISABLE_PLUGINS"}

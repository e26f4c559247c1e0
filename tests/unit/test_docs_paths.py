"""Whatever file and identifier the architecture pages name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs" / "architecture").glob("*.md")), ROOT / "CONTRIBUTING.md"]
FILES = [path.as_posix() for base in ("src", "tests", "plugins", "benchmarks") for path in (ROOT / base).rglob("*.py")]
WORDS = {"ROUND", "NAME", "CHANGELOG"}  # no names of code
SOURCE = "\n".join(
    path.read_text(encoding="utf-8") for base in ("src", "tests", "plugins") for path in (ROOT / base).rglob("*.py")
)


def in_backticks(page: Path, pattern: str) -> set[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {found for found in re.findall(r"`([^`\n]+)`", text) if re.fullmatch(pattern, found)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_are_there(page: Path) -> None:
    named = in_backticks(page, r"[\w./-]+\.py")
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in FILES)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_of_code_are_there(page: Path) -> None:
    named = in_backticks(page, r"_?[A-Z]\w+(\.\w+)*|_\w+|[a-z]+_\w+")
    parts = {part for name in named for part in name.split(".")} - WORDS
    assert sorted(part for part in parts if not re.search(rf"\b{re.escape(part)}\b", SOURCE)) == []

"""`plugins new`: which names it takes, where it writes, and that nothing is left of what fails."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from evoagent import EvoAgentError, UserError
from evoagent.config.overrides import apply
from evoagent.config.resources import configs_dir
from evoagent.scaffold import package
from evoagent.scaffold.folder import write_folder
from evoagent.scaffold.package import KINDS, new_package

BUILT_IN = [("operator", "constraints"), ("scorer", "length")]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_has_everything_that_one_needs(kind: str) -> None:
    folder, run = new_package("tide-tables", kind, None, BUILT_IN)
    assert folder == Path("evoagent-tide-tables")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files - {"answers.jsonl"} == {
        *("pyproject.toml", "README.md", ".gitignore", "tests/test_evoagent_tide_tables.py"),
        *("src/evoagent_tide_tables/__init__.py", "src/evoagent_tide_tables/py.typed"),
    }
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "evoagent-tide-tables"
    assert project["entry-points"]["evoagent"] == {"tide-tables": "evoagent_tide_tables"}
    readme = (folder / "README.md").read_text()
    assert f"\n    {run}\n" in readme
    assert "Apache-2.0" in readme
    text = "".join((folder / name).read_text() for name in files)
    assert "%" not in text.replace("%module%", "")
    assert "%module%" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_of_the_readme_fits_the_shipped_quickstart(kind: str) -> None:
    _, run = new_package("tide-tables", kind, None, BUILT_IN)
    setting = run.split("'")[1]
    shipped = yaml.safe_load((configs_dir() / "quickstart.yaml").read_text())
    applied = apply(yaml.safe_load((configs_dir() / "quickstart.yaml").read_text()), [setting])
    assert applied.problems == ()
    section, key = KINDS[kind].key.split(".")
    before, after = shipped[section][key], applied.data[section][key]
    if kind in ("scorer", "rule"):
        assert after == [*before, "tide-tables"]
    else:
        assert "tide-tables" in str(after)


def test_the_operator_is_thirty_lines_of_code() -> None:
    folder, _ = new_package("tides", "operator", None, [])
    source = (folder / "src/evoagent_tides/__init__.py").read_text()
    tree = ast.parse(source)
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    skipped = {line for node in texts for line in range(node.lineno, node.end_lineno or 0 + 1)} | {
        node.lineno for node in texts
    }
    imports = {
        line
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    lines = [
        text
        for number, text in enumerate(source.splitlines(), 1)
        if text.strip() and number not in skipped and number not in imports
    ]
    assert len(lines) <= 32, "\n".join(lines)


@pytest.mark.parametrize(
    "name", ["", "Haiku", "3d", "-a", "a-", "a--b", "a_-b", "a b", "../a", "a/b", "a.b", "é", "a" * 31, "a\n", "%name%"]
)
def test_names_that_are_none_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a lower-case letter"):
        new_package(name, "operator", None, BUILT_IN)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_taken_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="operator `constraints` exists already"):
        new_package("constraints", "operator", None, BUILT_IN)
    with pytest.raises(UserError, match="scorer `length` exists already"):
        new_package("length", "scorer", None, BUILT_IN)
    info = tmp_path / "site" / "evoagent_tides-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evoagent-tides\nVersion: 2.0\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with pytest.raises(UserError, match=r"evoagent-tides 2\.0 is installed already"):
        new_package("tides", "operator", None, BUILT_IN)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_name_may_be_that_of_another_kind_and_of_a_word_of_ours() -> None:
    for name in ("constraints", "score", "models", "operator"):
        folder, _ = new_package(name, "scorer", Path(f"out-{name}"), BUILT_IN)
        compile((folder / f"src/evoagent_{name}/__init__.py").read_text(), name, "exec")


def test_the_folder_must_be_new_or_empty(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for out, found in (("full", "a folder that holds mine.txt"), ("file", "a file")):
        with pytest.raises(UserError, match=f"found {found}, expected a new or empty folder"):
            new_package("tides", "operator", tmp_path / out, [])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "mine.txt"]
    (tmp_path / "empty").mkdir()
    new_package("tides", "operator", tmp_path / "empty", [])
    assert (tmp_path / "empty" / "README.md").is_file()


@pytest.mark.parametrize("inside", [False, True])
def test_nothing_half_written_is_left(inside: bool, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    if inside:
        folder.mkdir()
    with pytest.raises(EvoAgentError, match="cannot be written"):
        write_folder(folder, lambda path: {"a.txt": "a", "b" * 300: "too long a name"})
    assert list(tmp_path.rglob("*")) == ([folder] if inside else [])


def test_the_templates_are_part_of_the_package() -> None:
    root = Path(package.__file__).parent / "templates"
    assert {path.name for path in root.iterdir()} == {"common", *KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a", "tides", "abcdefghij-abcdefghij-abcdefgh"])
def test_what_is_written_is_clean(kind: str, name: str, tmp_path: Path) -> None:
    folder, _ = new_package(name, kind, None, [])
    ended = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=folder, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout

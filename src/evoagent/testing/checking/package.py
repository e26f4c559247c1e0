"""What `evoagent plugins check PACKAGE` means, an installed distribution, a module or a folder; and its import."""

from __future__ import annotations

import importlib.util
import sys
import time
import tomllib
from contextlib import suppress
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution
from pathlib import Path

from evoagent.errors import UserError
from evoagent.failures import explain
from evoagent.plugins.discovery import stdout_to_stderr
from evoagent.plugins.hookspecs import PROJECT
from evoagent.testing.checking.findings import Finding

HEAVY = "datasets langgraph pandas scipy sentence_transformers sklearn torch transformers vllm"
"""What no listing of plugins may wait for: to be imported where it is used."""

IMPORT_S = 1.0


def find_package(name: str) -> list[str]:
    """The values of the entry points, "module" or "module:object", of the package that `name` means.

    It is a folder if it looks like a path, else a distribution, a module, or a folder. What it is imported from goes to
    the front of `sys.path`.

    Raises:
        UserError: there is none, or it declares no plugin.
    """
    if name == PROJECT:
        return ["evoagent.plugins.builtins"]
    path = Path(name).expanduser()
    if not ("/" in name or name in (".", "..")):
        with suppress(PackageNotFoundError, ValueError):
            if entries := distribution(name).entry_points.select(group=PROJECT):
                return sorted(entry.value for entry in entries)
        sys.path.insert(0, str(Path.cwd()))
        with suppress(ImportError, ValueError, AttributeError):
            if importlib.util.find_spec(name) is not None:
                return [name]
        if not path.exists():
            raise UserError(f"{name}: found no distribution with plugins, no module and no folder of this name")
    return _in_folder(path, name)


def imported(value: str) -> tuple[object | None, Finding]:
    """The module or object that an entry point names, None if there is none, and how it imports."""
    known, started = set(sys.modules), time.perf_counter()
    try:
        with stdout_to_stderr():
            plugin: object = EntryPoint(value, value, PROJECT).load()
    except (Exception, SystemExit) as error:
        return None, Finding("imports", value, "error", f"does not import: {explain(error)}")
    seconds = time.perf_counter() - started
    if heavy := sorted({name.partition(".")[0] for name in set(sys.modules) - known} & {*HEAVY.split()}):
        text = f"importing it imports {', '.join(heavy)}, for which every listing waits: import inside functions"
        return plugin, Finding("imports", value, "error", text)
    if seconds > IMPORT_S:
        text = f"importing it takes {seconds:.1f} s, for which every listing waits"
        return plugin, Finding("imports", value, "note", text)
    return plugin, Finding("imports", value)


def _in_folder(path: Path, name: str) -> list[str]:
    root = path.resolve()
    if path.is_file() and path.suffix == ".py":
        sys.path.insert(0, str(root.parent))
        return [path.stem]
    if not path.is_dir():
        raise UserError(f"{name}: found {'a file' if path.exists() else 'nothing'}, expected the folder of a package")
    if (root / "pyproject.toml").is_file():
        sys.path[:0] = [str(root / "src"), str(root)]
        return _declared(root / "pyproject.toml")
    if not (root / "__init__.py").is_file():
        raise UserError(f"{name}: holds neither a pyproject.toml nor an __init__.py; expected the folder of a package")
    sys.path.insert(0, str(root.parent))
    return [root.name]


def _declared(project: Path) -> list[str]:
    try:
        content = tomllib.loads(project.read_text(encoding="utf-8"))
        entries = content.get("project", {}).get("entry-points", {}).get(PROJECT, {})
        values = sorted(str(value) for value in entries.values())
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{project}: cannot be read: {error}") from error
    if not values:
        expected = f'[project.entry-points.{PROJECT}] with a line NAME = "MODULE"'
        raise UserError(f"{project}: declares no plugin; expected {expected}")
    return values

"""Finding what `evoagent plugins check PACKAGE` means: an installed distribution, a module, or a folder."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, distributions
from pathlib import Path

from evoagent.config.messages import closest
from evoagent.errors import UserError
from evoagent.plugins.hookspecs import PROJECT

_BUILTINS = "evoagent.plugins.builtins"


@dataclass(frozen=True, slots=True)
class Package:
    """What to check.

    Attributes:
        plugins: entry point values: "module" or "module:object".
        path: folders to import from, before all others.
    """

    name: str
    plugins: tuple[str, ...]
    path: tuple[str, ...] = ()


def find_package(name: str) -> Package:
    """The package that `name` means: a folder if it looks like a path, a distribution, a module, or a folder.

    Raises:
        UserError: there is none, or it declares no plugin.
    """
    if name in (PROJECT, _BUILTINS):
        return Package(name, (_BUILTINS,))
    path = Path(name).expanduser()
    if "/" in name or name in (".", "..") or name.startswith("~"):
        return _folder(path, name)
    try:
        entries = distribution(name).entry_points.select(group=PROJECT)
        if entries:
            return Package(name, tuple(sorted(entry.value for entry in entries)))
    except (PackageNotFoundError, ValueError):
        pass
    if _is_module(name):
        return Package(name, (name,))
    if path.exists():
        return _folder(path, name)
    with_plugins = {
        dist.name
        for dist in distributions()
        if dist.name and any(entry.group == PROJECT for entry in dist.entry_points)
    }
    raise UserError(
        f"{name}: found no distribution with plugins, no module and no folder of this name{closest(name, with_plugins)}"
    )


def load_plugin(value: str) -> object:
    """The module or object that an entry point names."""
    return EntryPoint(value, value, PROJECT).load()


def _is_module(name: str) -> bool:
    sys.path.insert(0, "")
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False
    finally:
        sys.path.remove("")


def _folder(path: Path, name: str) -> Package:
    if path.is_file() and path.suffix == ".py":
        return Package(name, (path.stem,), (str(path.parent.resolve()),))
    if not path.is_dir():
        raise UserError(f"{name}: found {'a file' if path.exists() else 'nothing'}, expected the folder of a package")
    root = path.resolve()
    project = root / "pyproject.toml"
    if project.is_file():
        return _project(project, name)
    if (root / "__init__.py").is_file():
        return Package(name, (root.name,), (str(root.parent),))
    raise UserError(f"{name}: holds neither a pyproject.toml nor an __init__.py; expected the folder of a package")


def _project(project: Path, name: str) -> Package:
    try:
        content = tomllib.loads(project.read_text(encoding="utf-8"))
        entries = content.get("project", {}).get("entry-points", {}).get(PROJECT, {})
        values = tuple(sorted(str(value) for value in entries.values()))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{project}: cannot be read: {error}") from error
    if not values:
        raise UserError(
            f'{project}: declares no plugin; expected [project.entry-points.{PROJECT}] with a line NAME = "MODULE"'
        )
    root = project.parent
    folders = [folder for folder in (root / "src", root) if folder.is_dir()]
    return Package(name, values, tuple(map(str, folders)))

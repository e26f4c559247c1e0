"""What a plugin's output depends on beside the models: its code, its prompt, its parameters."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from evoagent import __version__
from evoagent.plugins.discovery import OWN, Source, modules_of
from evoagent.plugins.hookspecs import PROJECT
from evoagent.plugins.specs import PluginSpec

MAX_BYTES = 1 << 20
"""Of a file of a package that may decide what its plugins write; a larger one is data."""


def version_of(plugin: object, spec: PluginSpec, source: Source, params: Mapping[str, Any]) -> str:
    """The version of a plugin: equal texts stand for the same output, given the same models.

    Such as "evoagent 0.1.0, prompt 3f2a9c01b7d4" or "my-operators 1.2, source 8e41aa0c93f5, parameters 19bc0d55e7a2".
    An installed package counts by its files too: the version of one under development stays while its code changes.

    Args:
        plugin: what the factory made. Its attribute `prompt_hash`, where it has one, stands for its prompts.
        source: where it comes from; a project's own path is no part of the version.
    """
    parts = ["this project" if source.distribution == OWN else source.label]
    modules = {names[0] for thing in (type(plugin), spec.factory) if (names := modules_of(thing))}
    parts += [f"source {_source_hash(module, source)}" for module in sorted(modules)]
    if not modules and source.distribution != PROJECT:
        parts.append(f"{PROJECT} {__version__}")
    prompt = getattr(plugin, "prompt_hash", None)
    if isinstance(prompt, str):
        parts.append(f"prompt {prompt[:12]}")
    if params:
        parts.append(f"parameters {_hash(json.dumps(params, sort_keys=True, default=str).encode())}")
    return ", ".join(dict.fromkeys(parts))


def _source_hash(module: str, source: Source) -> str:
    """Of the files of the package that a module is in; of a project's module that stands alone, all beside it."""
    loaded = sys.modules.get(module)
    known = getattr(loaded, _MARK, None)
    if known is None:
        # Once for each time that it is imported: what is edited later is not what runs in this process.
        known = _hash(b"".join(part for path in _files(module, source) for part in (path.name.encode(), _read(path))))
        with suppress(AttributeError, TypeError):
            setattr(loaded, _MARK, known)
    return str(known)


_MARK = "__evoagent_source__"


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""


def _files(module: str, source: Source) -> list[Path]:
    folders = getattr(sys.modules.get(module.partition(".")[0]), "__path__", None)
    file = getattr(sys.modules.get(module), "__file__", None)
    if folders is not None:
        found = [path for folder in folders for path in Path(folder).rglob("*")]
    elif file is None:  # typed into a notebook
        return []
    else:
        found = list(Path(file).parent.glob("*.py")) if source.distribution == OWN else [Path(file)]
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]

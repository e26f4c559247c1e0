"""What a plugin's output depends on beside the models: its code, its prompt, its parameters."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evoagent import __version__
from evoagent.plugins.discovery import OWN, Source
from evoagent.plugins.hookspecs import PROJECT

_SOURCES = {".py", ".md", ".txt", ".json", ".yaml", ".yml", ".toml", ".jinja", ".j2"}
"""Files of a package that may decide what its plugins write."""


def version_of(plugin: object, source: Source, params: Mapping[str, Any]) -> str:
    """The version of a plugin: equal texts stand for the same output, given the same models.

    Such as "evoagent 0.1.0, prompt 3f2a9c01b7d4" or "my-operators 1.2, source 8e41aa0c93f5, parameters 19bc0d55e7a2".
    An installed package counts by its files too: the version of one under development stays while its code changes.

    Args:
        plugin: what the factory made. Its attribute `prompt_hash`, where it has one, stands for its prompts.
        source: where it comes from; a project's own path is no part of the version.
    """
    parts = ["this project" if source.distribution == OWN else source.label]
    module = type(plugin).__module__
    if module.partition(".")[0] != PROJECT:
        parts.append(f"source {_source_hash(module, type(plugin))}")
    elif source.distribution != PROJECT:
        parts.append(f"{PROJECT} {__version__}")
    prompt = getattr(plugin, "prompt_hash", None)
    if isinstance(prompt, str):
        parts.append(f"prompt {prompt[:12]}")
    if params:
        parts.append(f"parameters {_hash(json.dumps(params, sort_keys=True, default=str).encode())}")
    return ", ".join(parts)


def _source_hash(module: str, made_by: type) -> str:
    digest = hashlib.sha256()
    for path in _files(module):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    if digest.digest() == hashlib.sha256().digest():  # typed into a notebook
        try:
            digest.update(inspect.getsource(made_by).encode())
        except (OSError, TypeError):
            return "unknown"
    return digest.hexdigest()[:12]


def _files(module: str) -> Iterator[Path]:
    """The file of a module that stands alone, or all of the innermost package that it is in."""
    loaded = sys.modules.get(module)
    package = loaded if hasattr(loaded, "__path__") else sys.modules.get(module.rpartition(".")[0])
    if package is not None and hasattr(package, "__path__"):
        for folder in package.__path__:
            found = (path for path in Path(folder).rglob("*") if path.suffix in _SOURCES and path.is_file())
            yield from sorted(path for path in found if "__pycache__" not in path.parts)
    elif file := getattr(loaded, "__file__", None):
        yield Path(file)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]

"""For tests of plugins: scripted models, a tiny run in memory, and the check that every plugin should pass.

The names load when they are first used: pytest imports this package in every session, for its fixtures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evoagent.models.engines.scripted import Script, ScriptedEngine
    from evoagent.testing.checking import Finding, assert_valid_plugin, check_plugin
    from evoagent.testing.collecting import collect
    from evoagent.testing.scripted import ScriptedModels, Sent, scripted_models
    from evoagent.testing.seeds import DOCUMENTS, SEEDS
    from evoagent.testing.tiny_run import Rejected, TinyRun, run_in_memory, run_in_memory_async

_NAMES = {
    "evoagent.models.engines.scripted": ("Script", "ScriptedEngine"),
    "evoagent.testing.checking": ("Finding", "assert_valid_plugin", "check_plugin"),
    "evoagent.testing.collecting": ("collect",),
    "evoagent.testing.scripted": ("ScriptedModels", "Sent", "scripted_models"),
    "evoagent.testing.seeds": ("DOCUMENTS", "SEEDS"),
    "evoagent.testing.tiny_run": ("Rejected", "TinyRun", "run_in_memory", "run_in_memory_async"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "DOCUMENTS",
    "SEEDS",
    "Finding",
    "Rejected",
    "Script",
    "ScriptedEngine",
    "ScriptedModels",
    "Sent",
    "TinyRun",
    "assert_valid_plugin",
    "check_plugin",
    "collect",
    "run_in_memory",
    "run_in_memory_async",
    "scripted_models",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'evoagent.testing' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

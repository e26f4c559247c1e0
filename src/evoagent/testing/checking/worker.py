"""The check in a process of its own, which its parent can end: lines of JSON on standard output.

`python -m evoagent.testing.checking.worker REQUEST`, REQUEST being JSON: {"plugins", "path", "params", "model",
"limit", "traces"}. A line is {"step": text}, {"finding": {...}} or {"traces": {...}}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any, TextIO

HEAVY = (
    "torch",
    "vllm",
    "transformers",
    "sentence_transformers",
    "langgraph",
    "datasets",
    "sklearn",
    "pandas",
    "scipy",
)
"""What no listing of plugins may wait for: to be imported where it is used."""

IMPORT_S = 1.0


def main() -> None:
    """Check, and leave at once: threads that are stuck must not keep the process."""
    # What a plugin prints must not come between the lines.
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    try:
        _work(json.loads(sys.argv[1]), lines)
    except BaseException as error:
        _say(lines, finding=_finding("check", "the check itself", "error", f"{type(error).__name__}: {error}"))
    lines.flush()
    sys.stderr.flush()
    os._exit(0)


def _work(request: dict[str, Any], lines: TextIO) -> None:
    from evoagent.plugins.manager import PluginManager  # what every listing imports anyway
    from evoagent.testing.checking.package import load_plugin

    PluginManager().load()
    sys.path[:0] = request["path"]
    for value in request["plugins"]:
        _say(lines, step=f"importing {value}")
        known, started = set(sys.modules), time.perf_counter()
        try:
            plugin = load_plugin(value)
        except BaseException as error:
            text = f"does not import: {type(error).__name__}: {error}"
            _say(lines, finding=_finding("imports", value, "error", text))
            continue
        specs_listed = PluginManager()
        _register(specs_listed, plugin, value)
        if not request["traces"]:
            _say(lines, finding=_imports(value, known, time.perf_counter() - started))
        _check(plugin, request, lines)


def _register(manager: Any, plugin: object, value: str) -> None:
    from evoagent.plugins.discovery import Source

    manager.register(plugin, Source(value, "checked"))


def _check(plugin: object, request: dict[str, Any], lines: TextIO) -> None:
    from evoagent.testing.checking.check import checks, traces

    if request["traces"]:
        _say(lines, traces=traces(plugin, params=request["params"], limit=request["limit"]))
        return
    found = checks(
        plugin,
        params=request["params"],
        model=request["model"],
        limit=request["limit"],
        progress=lambda step: _say(lines, step=step),
    )
    for finding in found:
        _say(lines, finding=asdict(finding))


def _imports(value: str, known: set[str], seconds: float) -> dict[str, Any]:
    heavy = sorted({name.partition(".")[0] for name in set(sys.modules) - known} & set(HEAVY))
    if heavy:
        text = f"importing it imports {', '.join(heavy)}, for which every listing waits: import inside functions"
        return _finding("imports", value, "error", text)
    if seconds > IMPORT_S:
        return _finding("imports", value, "note", f"importing it takes {seconds:.1f} s, for which every listing waits")
    return _finding("imports", value, "ok", "")


def _finding(what: str, where: str, severity: str, message: str) -> dict[str, Any]:
    return {"what": what, "where": where, "severity": severity, "message": message}


def _say(lines: TextIO, **content: Any) -> None:
    lines.write(json.dumps(content) + "\n")
    lines.flush()


if __name__ == "__main__":
    main()

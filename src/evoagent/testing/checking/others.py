"""The checks of exporters and observers."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pluggy

from evoagent.events import RoundFinished, RunFinished, RunStarted
from evoagent.plugins import hookspecs
from evoagent.testing.checking.exercise import STALL_S
from evoagent.testing.checking.findings import Finding, place
from evoagent.testing.checking.hostile import INSTRUCTIONS

_SUMMARY = {
    "run": "runs/check",
    "rounds": 1,
    "candidates": 10,
    "survivors": 4,
    "rejected": {"unchanged": 6},
    "tokens": {"evolver": {"prompt": 900, "completion": 300}},
    "requests": {"sent": 20, "cached": 0},
    "seconds": 1.5,
    "stop_reason": "1 rounds",
}
_PREVIEW = {"operator": "deepening", "parent": "Say it.", "evolved": "Say it twice.", "verdict": "kept"}
_EVENTS: Mapping[str, Any] = {
    "evoagent_run_started": RunStarted("check", "runs/check", False),
    "evoagent_round_finished": RoundFinished(1, 10, 4, {"unchanged": 6}, (_PREVIEW,), {"vendi.score": 3.2}),
    "evoagent_run_finished": RunFinished(_SUMMARY),
}


def exporter_findings(spec: Any, make: Callable[[], Any]) -> list[Finding]:
    """Whether a training format takes every row, and gives the same JSON each time."""
    export, problems = make(), {}
    for label, row in _rows():
        try:
            before = json.dumps(row)
            first, again = export(row), make()(row)
            json.dumps(first, allow_nan=False)
        except Exception as error:
            problems[f"raises {type(error).__name__}: {error}"] = label
            continue
        if first is None and spec.responses:
            continue
        if not isinstance(first, Mapping):
            problems[f"gives {first!r:.60}, expected a mapping that JSON can hold"] = label
        elif first != again:
            problems["gives something else the second time"] = label
        elif json.dumps(row) != before:
            problems["changes the row that it is given"] = label
    if not problems:
        return [Finding("hostile text", place(spec))]
    return [
        Finding("hostile text", place(spec), "error", f"{problem} [on {label}]") for problem, label in problems.items()
    ]


def _rows() -> Iterator[tuple[str, dict[str, Any]]]:
    row = {
        "id": "a1", "parent_ids": ["s1"], "seed_id": "s1", "round": 1, "operator": "breadth", "instruction": "Say it.",
        "input": "", "output": "It.", "scores": {"ifd": 0.5, "length": None}, "model": "m", "responder": "m",
    }  # fmt: skip
    yield "a row", row
    answers = [
        {"response": "It.", "finish_reason": "stop", "scores": {"ifd": 0.5}, "rank": 0.5, "kept": True},
        {"response": "That.", "finish_reason": "length", "scores": {"ifd": None}, "rank": None, "kept": False},
    ]
    yield "a row with responses", {**row, "responses": answers}
    yield "a row with empty texts", {**row, "instruction": "", "output": "", "scores": {}}
    for label, text in INSTRUCTIONS.items():
        yield label, {**row, "instruction": text, "input": text, "output": text}


def observer_findings(plugin: object, where: str, progress: Callable[[str], None]) -> list[Finding]:
    """Whether the observers among a plugin's hooks take their events without raising or waiting."""
    hooks = pluggy.PluginManager(hookspecs.PROJECT)
    hooks.add_hookspecs(hookspecs)
    try:
        hooks.register(plugin)
    except Exception:
        return []  # told by the check of the hooks
    found = []
    for name, event in _EVENTS.items():
        for implementation in getattr(hooks.hook, name).get_hookimpls():
            progress(name)
            found.append(_told(implementation, event, f"{name} of {where}"))
    return found


def _told(implementation: pluggy.HookImpl, event: Any, where: str) -> Finding:
    function, arguments = implementation.function, [event] if implementation.argnames else []
    if inspect.iscoroutinefunction(function):
        return Finding("observers", where, "error", "is async, but nothing awaits it: expected a plain `def`")
    seconds = float("inf")
    try:
        for _ in range(2):  # the first call may open a file, or import something
            started = time.perf_counter()
            function(*arguments)
            seconds = min(seconds, time.perf_counter() - started)
            if seconds <= STALL_S:
                break
    except BaseException as error:
        return Finding("observers", where, "error", f"raises {type(error).__name__}: {error}")
    if seconds > STALL_S:
        text = f"takes {seconds * 1000:.0f} ms, for which the whole run waits: hand the event to a thread of its own"
        return Finding("observers", where, "error", text)
    return Finding("observers", where)

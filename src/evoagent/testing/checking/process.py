"""Checking a package in another process, which is ended if the package hangs."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from evoagent.testing.checking.findings import Finding
from evoagent.testing.checking.package import Package

_PATIENCE = 4  # limits without a word, after which the process is ended


def check_package(
    package: Package, *, params: Mapping[str, Mapping[str, Any]], model: str | None, limit: float
) -> Iterator[Finding]:
    """The findings of `checks`, and of what only other processes can show: imports, hash seeds, hangs."""
    request = {
        "plugins": package.plugins,
        "path": package.path,
        "params": params,
        "model": model,
        "limit": limit,
        "traces": False,
    }
    broken = hung = False
    wait = limit * _PATIENCE * (1 if model is None else 30)
    for line in _lines(request, "1", wait):
        if "finding" in line:
            finding = Finding(**line["finding"])
            broken = broken or (finding.severity == "error" and finding.what in ("imports", "determinism"))
            hung = hung or "hung" in line
            yield finding
    if not (broken or hung):
        yield from _other_hash_seed(package, request, wait)


def _other_hash_seed(package: Package, request: dict[str, Any], wait: float) -> Iterator[Finding]:
    """What depends on the order of a set, which is another one in each process."""
    request = {**request, "traces": True}
    passes = [
        {place: trace for line in _lines(request, seed, wait) for place, trace in line.get("traces", {}).items()}
        for seed in ("1", "2")
    ]
    for place, trace in passes[0].items():
        if trace != passes[1].get(place):
            text = "another process gives something else (PYTHONHASHSEED): sort what comes out of a set or of hash()"
            yield Finding("processes", place, "error", text)
        else:
            yield Finding("processes", place)


def _lines(request: dict[str, Any], hash_seed: str, wait: float) -> Iterator[dict[str, Any]]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "evoagent.testing.checking.worker", json.dumps(request)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment)
    lines: queue.Queue[bytes | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    step = "starting"
    try:
        while True:
            try:
                line = lines.get(timeout=wait)
            except queue.Empty:
                text = f"hangs for {wait:g} s and lets nothing else run; what comes after it was not checked"
                yield {"finding": _error("event loop", step, text), "hung": True}
                return
            if line is None:
                break
            content = json.loads(line)
            step = content.get("step", step)
            yield content
        if code := process.wait():
            yield {"finding": _error("check", step, f"the process of the check died with code {code}"), "hung": True}
    finally:
        process.kill()
        process.wait()


def _error(what: str, where: str, message: str) -> dict[str, Any]:
    return {"what": what, "where": where, "severity": "error", "message": message}

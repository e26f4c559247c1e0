"""Memory and speed of a whole run by the number of seeds, with scripted models: what evoagent itself costs.

Two rounds by default, one evolution and one response a seed, `ifd` and `ic_ifd`, six rules on the surface. Each size
runs in a process of its own. With --kill it is killed in the middle of the last round, and goes on in another process,
of which `first_request_seconds` then tells. Prints a table; with --out, writes it as JSON with the machine that it was
measured on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from evoagent.models.engines.scripted import Script
from evoagent.models.requests import Embedding, EmbedRequest

RULES = ["extracted", "truncated", "unchanged", "length_ratio", "repetition", "missing_input"]
POPULATION = ["near_duplicate"]
DIMENSIONS = 384  # as of all-MiniLM-L6-v2


class Apart(Script):
    """Puts texts far apart, so that all survive and each has to be compared with all others."""

    def embed(self, request: EmbedRequest) -> Embedding:
        """A direction that a hash of the text draws."""
        vector = np.random.default_rng(zlib.crc32(request.text.encode())).standard_normal(DIMENSIONS, np.float32)
        return Embedding(vector / np.linalg.norm(vector), 1)


def config(folder: Path, seeds: int, population: bool, rounds: int) -> dict[str, Any]:
    path = folder / "seeds.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(seeds):
            text = f"Explain in your own words how machine number {number} of the old mill turns grain into flour."
            row = {"instruction": text, "input": "", "output": f"Machine {number} grinds it between two stones."}
            file.write(json.dumps(row) + "\n")
    role = {"engine": "scripted", "model": "toy", "options": {"batch": 512}, "sampling": {"temperature": 0.7}}
    embedder = {"engine": "scripted", "model": "toy", "options": {"script": f"{Path(__file__).stem}:Apart"}}
    return {
        "name": "scale",
        "seeds": {"path": str(path)},
        "models": {"evolver": role, "embedder": embedder},
        "evolver": {"operators": ["constraints", "deepening"], "style": "plain"},
        "critic": {"scorers": ["ifd", "ic_ifd", *(["embedding_diversity"] if population else [])]},
        "eliminator": {"rules": [*RULES, *(POPULATION if population else [])]},
        "stop": {"rounds": rounds},
    }


def measure(seeds: int, population: bool, folder: Path, rounds: int = 2, kill: bool = False) -> dict[str, Any]:
    """One run in `folder`, in this process; `kill` ends the process in the middle of the last round."""
    from evoagent.config.model import RunConfig
    from evoagent.events import Event, NodeFinished, NodeProgress, Notice
    from evoagent.plugins.manager import PluginManager
    from evoagent.runs.driving import run_graph
    from evoagent.runs.opening import open_run

    nodes: dict[str, float] = {}
    first: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, NodeFinished):
            nodes[event.node] = nodes.get(event.node, 0.0) + event.seconds
        if isinstance(event, Notice) and event.message.startswith("loading") and not first:
            first.append(time.monotonic() - started)  # an engine is loaded for the first request that reaches it
        if kill and isinstance(event, NodeProgress) and event.round == rounds and 2 * event.done > event.total:
            os.kill(os.getpid(), signal.SIGKILL)

    values = RunConfig.model_validate(config(folder, seeds, population, rounds))

    async def run() -> dict[str, Any]:
        async with open_run(values, folder, folder / "run", PluginManager().load(), listen=listen) as context:
            return await run_graph(context)

    started = time.monotonic()
    summary = asyncio.run(run())
    seconds = time.monotonic() - started
    ledger = (folder / "run" / "ledger.db").stat().st_size
    assert summary["candidates"] == summary["survivors"] + sum(summary["rejected"].values())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seeds": seeds,
        "rounds": rounds,
        "candidates": summary["candidates"],
        "survivors": summary["survivors"],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "vectors_mib": round(sum(path.stat().st_size for path in (folder / "run").glob("vectors-*")) / 2**20, 1),
        "candidates_per_second": round(summary["candidates"] / seconds, 1),
        "peak_mib": round(usage.ru_maxrss / 1024, 1),
        "ledger_mib": round(ledger / 2**20, 1),
        "first_request_seconds": round(first[0], 1) if first else None,
        "node_seconds": {name: round(spent, 1) for name, spent in nodes.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--population", action="store_true", help="with near_duplicate and embedding_diversity")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kill", action="store_true", help="kill each run in its last round, and go on")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one, options.population, options.folder, options.rounds, options.kill)))
        return
    rows = []
    for seeds in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                __file__,
                "--one",
                str(seeds),
                "--folder",
                folder,
                "--rounds",
                str(options.rounds),
            ]
            command += ["--population"] if options.population else []
            if options.kill:
                killed = subprocess.run([*command, "--kill"], stdout=subprocess.DEVNULL, check=False)
                assert killed.returncode == -signal.SIGKILL
            ended = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        rows.append(json.loads(ended.stdout.splitlines()[-1]) | {"population": options.population})
        rows[-1]["killed"] = options.kill
        print(json.dumps(rows[-1]), flush=True)
    if options.out is not None:
        machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        options.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

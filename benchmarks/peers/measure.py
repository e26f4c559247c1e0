"""One evolution and one response a seed through one local stub: wall time, CPU time and steady rate of each system.

Systems take turns, so that a machine that slows down does so for all. A system is NAME=COMMAND[@CONCURRENCY]: COMMAND
is the Python of its virtual environment, for evoagent the path of its command; see README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from common import CASE, PORT, write_seeds

HERE = Path(__file__).parent
STUB = f"http://127.0.0.1:{PORT}"


def ask(path: str) -> dict[str, Any]:
    with urlopen(STUB + path, timeout=60) as response:
        found: dict[str, Any] = json.load(response)
        return found


def start_stub(arguments: argparse.Namespace) -> subprocess.Popen[bytes]:
    options = ["--latency-ms", arguments.latency_ms, "--limit", arguments.limit, "--faults", arguments.faults]
    process = subprocess.Popen([sys.executable, HERE / "stub.py", *map(str, options)])
    for _ in range(100):
        try:
            ask("/stats")
            return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the stub does not start")


def command(name: str, how: str, concurrency: str, seeds: Path, folder: Path) -> list[str]:
    if name.startswith("evoagent"):
        options = ["--set", f"models.evolver.options.concurrency={concurrency}"] if concurrency else []
        paths = [str(HERE / "evoagent.yaml"), "--seeds", str(seeds), "--out", f"{folder}/run"]
        return [*shlex.split(how), "run", *paths, *options]
    script = HERE / f"run_{name.replace('-', '_')}.py"
    return [*shlex.split(how), str(script), str(seeds), str(folder), concurrency or "256"]


def environment(folder: Path) -> dict[str, str]:
    """No proxies, no telemetry, no hub: nothing but the stub is asked."""
    on, off = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "POSTHOG_DISABLED"), "TELEMETRY_ENABLED"
    quiet = dict.fromkeys(on, "1") | {off: "false", f"NEMO_{off}": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    kept = {name: os.environ[name] for name in ("PATH", "TIKTOKEN_CACHE_DIR") if name in os.environ}
    return kept | quiet | {"HOME": str(folder), "LANG": "C.UTF-8", "OPENAI_API_KEY": "x", "NO_PROXY": "127.0.0.1"}


def run(arguments: list[str], folder: Path, kill_after: int = 0) -> dict[str, float]:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    with (folder / "output.txt").open("ab") as output:
        process = subprocess.Popen(
            arguments, cwd=folder, env=environment(folder), stdout=output, stderr=output, start_new_session=True
        )
        while kill_after and process.poll() is None:
            time.sleep(0.02)
            if ask("/stats")["answered"] >= kill_after:
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code and not kill_after:
        raise SystemExit(f"{arguments} ended with {code}; see {folder}/output.txt")
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {"started": started, "wall_s": time.time() - started, "cpu_s": cpu}


def good_rows(folder: Path) -> int:
    """Cases that came out evolved and answered: a system that loses rows is no faster for it."""
    path = folder / "run/dataset/train.jsonl"
    rows = [json.loads(line) for line in (path if path.exists() else folder / "result.jsonl").open()]
    found = set()
    for row in rows:
        task = row.get("evolved") or row.get("evolved_instruction") or row["instruction"]
        case, said = CASE.search(task), row.get("answer") or row.get("output") or ""
        if case and "State the sources" in task and case[0] in said:
            found.add(case[0])
    return len(found)


def measure(name: str, how: str, concurrency: str, arguments: argparse.Namespace) -> dict[str, Any]:
    folder = Path(arguments.folder).resolve() / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seeds = folder / "seeds.jsonl"
    write_seeds(seeds, arguments.seeds)
    ask("/reset")
    line = command(name, how, concurrency, seeds, folder)
    found: dict[str, Any] = {"system": name}
    if arguments.kill:
        run(line, folder, kill_after=arguments.seeds)
    found |= run(line, folder)
    stats = ask("/stats")
    found |= {"good": good_rows(folder), "items_s_steady": stats["steady_requests_s"] / 2, "stub": stats}
    found["startup_s"] = stats["first"] - found["started"]
    found["tail_s"] = found["started"] + found["wall_s"] - stats["last"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="+", metavar="NAME=COMMAND[@CONCURRENCY]")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--limit", type=int, default=0, help="requests at once above which the stub answers 429")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that the stub turns away with 429")
    parser.add_argument("--kill", action="store_true", help="kill -9 in the middle, then go on: what is asked again?")
    parser.add_argument("--folder", default="/tmp/evoagent-peers")
    arguments = parser.parse_args()
    stub = start_stub(arguments)
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for _ in range(arguments.repeats):
            for system in arguments.systems:
                name, _, rest = system.partition("=")
                how, _, concurrency = rest.partition("@")
                found.setdefault(name, []).append(one := measure(name, how, concurrency, arguments))
                print(json.dumps(one), file=sys.stderr, flush=True)
    finally:
        stub.terminate()
        stub.wait()
    keys = ("wall_s", "cpu_s", "items_s_steady", "startup_s", "tail_s")
    medians = {name: {key: statistics.median(run[key] for run in runs) for key in keys} for name, runs in found.items()}
    for name, runs in found.items():
        medians[name]["good"] = min(run["good"] for run in runs)
        medians[name]["asked_again"] = statistics.median(run["stub"]["asked_again"] for run in runs)
    print(json.dumps({"seeds": arguments.seeds, "repeats": arguments.repeats, "medians": medians}, indent=2))


if __name__ == "__main__":
    main()

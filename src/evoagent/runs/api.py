"""`evoagent.run`: a run from its configuration to its dataset, as one call."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from evoagent.config.overrides import Overrides
from evoagent.datasets.replacing import replacing
from evoagent.datasets.seeds import SeedBatch, read_seeds
from evoagent.errors import LedgerError, RequestError, UserError
from evoagent.graph.context import EvolutionContext
from evoagent.ledger.files import DATASET, SEEDS, TRAIN_JSONL
from evoagent.models.engines.packed.threads import wait_passively
from evoagent.plugins.returned import ERROR
from evoagent.runs.directory import Resume
from evoagent.runs.driving import Reviewer, run_graph
from evoagent.runs.listening import Listener
from evoagent.runs.loops import in_thread, wait_for
from evoagent.runs.opening import open_run
from evoagent.runs.preparing import Config, Prepared, prepare
from evoagent.runs.rows import RowsOrPath, StrPath, passing_file


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """A run that is over.

    Attributes:
        summary: as `evoagent run --json` prints it.
        directory: the run directory.
        failure: why nothing came of it, where most of its candidates have failed; else None.
    """

    summary: dict[str, Any]
    directory: Path
    failure: str | None = None

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of the dataset, read from its file one by one; `data` as a mapping or None."""
        # Only a line feed ends a row: texts may hold what others take for the end of a line.
        with (self.directory / DATASET / TRAIN_JSONL).open(encoding="utf-8", newline="\n") as file:
            for row in map(json.loads, file):
                yield {**row, "data": None if row["data"] is None else json.loads(row["data"])}

    def __repr__(self) -> str:
        balance = f"{self.summary['survivors']} of {self.summary['candidates']} candidates survive"
        return f"<Run {self.directory}: {self.failure or balance}>"


def run(
    config: Config,
    *,
    seeds: RowsOrPath | None = None,
    out: StrPath | None = None,
    model: StrPath | None = None,
    limit: int | None = None,
    rounds: int | None = None,
    overrides: Overrides | None = None,
    resume: Resume = "auto",
    listen: Listener | None = None,
    review: Reviewer | None = None,
) -> Run:
    """Evolve a dataset, as the command `evoagent run` does; the same call again goes on with what was interrupted.

    It may be called where an event loop runs, as in a notebook: that one stands still meanwhile.

    Args:
        config: a file, the name of a shipped scenario, a `RunConfig`, or a mapping with the keys of a file; the paths
            of the latter two start from the current directory.
        seeds: a file of seeds, or rows in any of the forms that files have; a copy of rows stays in the run directory.
        out: the run directory; by default `runs/NAME`.
        model: the evolver's model, and that of the roles sharing it.
        limit: use the first so many seeds only.
        rounds: the number of rounds.
        overrides: values by dotted key such as `{"evolver.samples": 2}`, or `KEY=VALUE` texts.
        resume: "auto" goes on with a run that is in the directory, "never" refuses one, "always" demands one.
        listen: called with each event, a value of `evoagent.events`; the run waits for it.
        review: called with each question about a candidate (see `evoagent.graph.review`), returns the answer; with it,
            the run asks.

    Raises:
        UserError: what it is given is wrong; nothing is written then.
        EvoAgentError: the run cannot go on; what is done is kept.
        KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    return wait_for(
        arun(
            config,
            seeds=seeds,
            out=out,
            model=model,
            limit=limit,
            rounds=rounds,
            overrides=overrides,
            resume=resume,
            listen=listen,
            review=review,
        )
    )


async def arun(
    config: Config,
    *,
    seeds: RowsOrPath | None = None,
    out: StrPath | None = None,
    model: StrPath | None = None,
    limit: int | None = None,
    rounds: int | None = None,
    overrides: Overrides | None = None,
    resume: Resume = "auto",
    listen: Listener | None = None,
    review: Reviewer | None = None,
) -> Run:
    """As `run`, in the event loop that runs already; cancelled, it writes what is done."""
    wait_passively()
    prepared = await in_thread(
        prepare,
        config,
        seeds=seeds,
        out=out,
        model=model,
        limit=limit,
        rounds=rounds,
        overrides=overrides,
        review=review is not None,
    )
    return await carry_out(prepared, resume=resume, listen=listen, review=review)


async def carry_out(
    prepared: Prepared,
    *,
    resume: Resume = "auto",
    listen: Listener | None = None,
    review: Reviewer | None = None,
) -> Run:
    """Run, or go on with, what is prepared; the arguments are those of `run` and of `open_run`."""
    if resume not in get_args(Resume):
        raise UserError(f"resume: found {resume!r}, expected one of {', '.join(get_args(Resume))}")
    directory = prepared.directory
    try:
        with ExitStack() as stack:
            seeds = None if prepared.seeds is None else await in_thread(_read, prepared, prepared.seeds, stack)
            async with open_run(
                prepared.config,
                prepared.base,
                directory,
                prepared.manager,
                resume=resume,
                seeds=seeds,
                listen=listen or (lambda event: None),
            ) as context:
                if prepared.seeds is not None:  # now that the directory is a run's, and of these seeds
                    await in_thread(_keep, prepared.seeds, directory)
                context.review_page = 1  # each decision is on disk before the next question
                summary = await run_graph(context, review)
                return Run(summary, directory.absolute(), await _why_nothing(context, summary))
    except (OSError, sqlite3.Error) as error:
        where, why = getattr(error, "filename", None) or directory, getattr(error, "strerror", None) or error
        raise LedgerError(f"{where}: {why}; everything so far is kept: mend it and run the same again") from error


def _read(prepared: Prepared, lines: str, stack: ExitStack) -> SeedBatch:
    """The seeds that were given in memory, out of a file that `stack` takes away: they are read again and again."""
    path = stack.enter_context(passing_file(lines, "seeds"))
    return read_seeds(prepared.config.seeds.model_copy(update={"path": str(path)}), path.parent)


def _keep(lines: str, directory: Path) -> None:
    with replacing(directory / SEEDS) as (part,):
        part.write_text(lines, encoding="utf-8", newline="\n")


async def _why_nothing(context: EvolutionContext, summary: dict[str, Any]) -> str | None:
    """Why nothing came of a run, if most candidates have failed at a request: a server refuses them all, say."""
    if summary["survivors"] or ERROR not in summary["rejected"]:
        return None
    store, request = context.store, f"{RequestError.__name__}: "
    failed, detail, times = await store.database.run(store.results.commonest_detail, context.run_id, ERROR, request)
    if 2 * failed <= summary["candidates"]:  # what a plugin has done wrong is told after each round
        return None
    return f"no survivors: {failed} of {summary['candidates']} candidates failed, {times} of them with: {detail}"

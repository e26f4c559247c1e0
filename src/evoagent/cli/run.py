"""evoagent run: evolve a dataset."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evoagent.cli.options import ConfigArg, JsonOption, SetOption


class Resume(StrEnum):
    """What to do with a run that is in the directory already."""

    auto = "auto"
    never = "never"
    always = "always"


def run(
    config: ConfigArg,
    seeds: Annotated[
        Path | None, typer.Option(help="Seeds to start from, instead of the configuration's.", envvar="EVOAGENT_SEEDS")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; default: runs/NAME.", envvar="EVOAGENT_OUT")] = None,
    model: Annotated[
        str | None, typer.Option(help="The evolver's model, and that of the roles sharing it.", envvar="EVOAGENT_MODEL")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use the first N seeds only.", envvar="EVOAGENT_LIMIT")] = None,
    rounds: Annotated[int | None, typer.Option(help="Number of rounds.", envvar="EVOAGENT_ROUNDS")] = None,
    set: SetOption = None,
    resume: Annotated[
        Resume,
        typer.Option(
            help="auto: go on with a run that is there; never: refuse one; always: demand one.",
            envvar="EVOAGENT_RESUME",
        ),
    ] = Resume.auto,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything and show the plan; load no model.", envvar="EVOAGENT_DRY_RUN"),
    ] = False,
    review: Annotated[
        bool,
        typer.Option(
            "--review", help="Ask about each candidate: keep, reject with a reason, edit.", envvar="EVOAGENT_REVIEW"
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Evolve seeds in rounds of evolver, critic and eliminator.

    Stop it with Ctrl-C; the same command goes on where it was.
    """
    from evoagent.cli.execution import execute, plan
    from evoagent.runs.preparing import prepare

    prepared = prepare(
        config, seeds=seeds, out=out, model=model, limit=limit, rounds=rounds, overrides=set or [], review=review
    )
    if dry_run:
        plan(prepared, as_json=json)
    else:
        execute(prepared, resume=resume.value, as_json=json)

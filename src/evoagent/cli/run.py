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
    from evoagent.configfile import load_config
    from evoagent.plugins.manager import PluginManager

    overrides = dict_overrides(seeds, model, limit, rounds)
    if review:
        overrides.append("review=true")
    manager = PluginManager().load()
    loaded = load_config(config, [*overrides, *(set or [])], manager)

    from evoagent.cli.running import execute, plan

    directory = out if out is not None else loaded.output_dir / loaded.config.name
    if dry_run:
        plan(loaded, directory, manager, as_json=json)
    else:
        execute(loaded, directory, manager, resume=resume.value, as_json=json)


def dict_overrides(seeds: Path | None, model: str | None, limit: int | None, rounds: int | None) -> list[str]:
    """The options as overrides of the configuration; paths are relative to where the command was typed."""
    import json

    given = {
        "seeds.path": str(seeds.absolute()) if seeds is not None else None,
        "models.evolver.model": str(Path(model).absolute()) if model is not None and Path(model).exists() else model,
        "seeds.limit": limit,
        "stop.rounds": rounds,
    }
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]

"""evoagent lineage: from a row back to its seed, and all that died on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evoagent.cli.options import JsonOption
from evoagent.cli.terminal import write, write_json


def lineage(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="A row's id, or enough of its start.")] = None,
    row: Annotated[
        int | None,
        typer.Option(help="A row of dataset/train.jsonl by its number, from 1.", min=1, envvar="EVOAGENT_ROW"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show where a row came from, and what was rejected on the way."""
    from evoagent.reports.lineage import render, trace

    found = trace(run, id, row)
    if json:
        write_json(found)
    else:
        write(render(found))

"""evoagent export: a run's survivors in a training format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evoagent.cli.terminal import tell, write


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    format: Annotated[
        str,
        typer.Option(
            help="alpaca, sharegpt, messages, parquet, preference, or one that a plugin brings.",
            envvar="EVOAGENT_FORMAT",
        ),
    ] = "alpaca",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; default: RUN/dataset/FORMAT.jsonl, or .parquet.", envvar="EVOAGENT_OUT"),
    ] = None,
) -> None:
    """Write a run's survivors as training data, with a dataset_info.json for LLaMA-Factory."""
    from evoagent.reports.exporting import export_run

    path, rows = export_run(run, format, out)
    tell(f"{rows} rows")
    write(path)

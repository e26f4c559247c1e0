"""evoagent score: scores for any dataset file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evoagent.cli.options import JsonOption


def score(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A dataset: JSON, JSONL, CSV or Parquet.")],
    scorer: Annotated[
        list[str],
        typer.Option(help="A scorer, or 'name: {parameter: value}'. May be given again.", envvar="EVOAGENT_SCORER"),
    ],
    model: Annotated[
        str, typer.Option(help="The model that scores and judges.", envvar="EVOAGENT_MODEL")
    ] = "smollm2-135m-instruct",
    engine: Annotated[str, typer.Option(help="Its engine.", envvar="EVOAGENT_ENGINE")] = "transformers",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.", envvar="EVOAGENT_DTYPE")] = "auto",
    embedder: Annotated[
        str, typer.Option(help="The model that embeds.", envvar="EVOAGENT_EMBEDDER")
    ] = "all-minilm-l6-v2",
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.", envvar="EVOAGENT_OUT")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Score the rows of a dataset; each comes back with its scores.

    With --out, answers are kept in FILE.ledger.db, so an interrupted scoring goes on where it was.
    """
    from evoagent.cli.score_data import score_command

    score_command(data, scorer, model, engine, dtype, embedder, out, as_json=json)

"""evoagent models: the models that come by a short name."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer

from evoagent.cli.options import JsonOption
from evoagent.cli.terminal import log_to_stderr, write, write_json
from evoagent.models.sources.catalog import CATALOG
from evoagent.models.sources.resolve import cached, pull

app = typer.Typer(help="The models that come by name.", no_args_is_help=True)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the models that come by a short name, and whether they are cached."""
    rows = [_row(name) for name in CATALOG]
    if as_json:
        write_json(rows, indent=2)
        return
    table = [("NAME", "KIND", "LICENCE", "DOWNLOAD", "PARAMETERS", "CACHED")]
    table += [
        (
            row["name"],
            row["kind"],
            row["licence"],
            f"{row['size'] / 1e6:.0f} MB",
            f"{row['parameters'] / 1e6:.0f}M",
            row["path"] or "no",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in table) for column in range(5)]
    for line in table:
        write("  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]))


@app.command("pull")
def pull_(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A short name, a hub name such as ORG/MODEL, or a .gguf file.")
    ],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a hub model.", envvar="EVOAGENT_REVISION")
    ] = None,
) -> None:
    """Fetch and verify a model; print the folder that it is in."""
    log_to_stderr("%(message)s")
    logging.getLogger("evoagent").setLevel(logging.INFO)
    write(pull(name, revision=revision, progress=sys.stderr.isatty()).path)


def _row(name: str) -> dict[str, Any]:
    entry = CATALOG[name]
    model = cached(entry)
    return {
        "name": name,
        "origin": entry.origin,
        "kind": entry.kind,
        "licence": entry.licence,
        "size": entry.size,
        "parameters": entry.parameters,
        "revision": entry.revision,
        "cached": model is not None,
        "path": model.path if model else None,
    }

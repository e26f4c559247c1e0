"""Arguments and options that several commands share, each with its environment variable."""

from __future__ import annotations

from typing import Annotated

import typer

ConfigArg = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A configuration file, or the name of a shipped scenario such as quickstart.",
        envvar="EVOAGENT_CONFIG",
    ),
]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the configuration, such as stop.rounds=2 or evolver.operators.0=deepening; "
        "critic.scorers+=length adds to a list. May be given again.",
        envvar="EVOAGENT_SET",
    ),
]

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document.", envvar="EVOAGENT_JSON"),
]

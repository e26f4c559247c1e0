"""evoagent plugins: what is installed."""

from __future__ import annotations

import typer

from evoagent.cli.options import JsonOption

app = typer.Typer(help="Operators, scorers, rules, selectors, engines and exporters.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    pass


@app.command("list")
def list_plugins(json: JsonOption = False) -> None:
    """List every plugin with its distribution, version and status; broken ones say what is wrong."""
    import json as json_module
    from dataclasses import asdict

    from evoagent.plugins.manager import PluginManager

    records = PluginManager().load().records()
    if json:
        typer.echo(json_module.dumps([asdict(record) for record in records], ensure_ascii=False))
        return
    for record in records:
        origin = f"{record.distribution} {record.version}"
        note = record.summary if record.status == "ok" else f"broken: {record.status}"
        typer.echo(f"{record.kind:<11}{record.name:<22}{origin:<20}{note}")

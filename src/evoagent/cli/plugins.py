"""evoagent plugins: what is installed, what it takes, and help for those who write their own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from evoagent.cli.options import JsonOption
from evoagent.cli.terminal import tell, write, write_json

app = typer.Typer(help="Operators, scorers, rules, selectors, engines and exporters.", no_args_is_help=True)

ProjectOption = Annotated[
    Path | None,
    typer.Option("--config", help="Take in a project's own plugins too.", envvar="EVOAGENT_PLUGINS_CONFIG"),
]


class Kind(StrEnum):
    """What `plugins new` writes."""

    operator = "operator"
    scorer = "scorer"
    rule = "rule"
    selector = "selector"
    engine = "engine"


@app.callback()
def _root() -> None:
    pass


def _manager(config: Path | None) -> Any:
    from evoagent.plugins.manager import PluginManager

    manager = PluginManager().load()
    if config is not None:
        from evoagent.runs.config_file import load_config

        load_config(config, (), manager)
    return manager


@app.command("list")
def list_plugins(config: ProjectOption = None, json: JsonOption = False) -> None:
    """List every plugin with its distribution, version and status; broken ones say what is wrong."""
    from dataclasses import asdict

    records = _manager(config).records()
    if json:
        write_json([asdict(record) for record in records])
        return
    rows = [(record.kind, record.name, f"{record.distribution} {record.version}".strip()) for record in records]
    widths = [max((len(row[column]) for row in rows), default=0) + 2 for column in range(3)]
    for record, row in zip(records, rows, strict=True):
        note = record.summary if record.status == "ok" else f"broken: {record.status}"
        write("".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + note)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin's name.", envvar="EVOAGENT_PLUGIN")],
    config: ProjectOption = None,
    json: JsonOption = False,
) -> None:
    """Show a plugin: where it comes from, what it needs, and its parameters with types and defaults."""
    from evoagent.cli.plugins_show import find_plugins, plugin_text

    found = find_plugins(_manager(config), name)
    if json:
        write_json(found)
    else:
        write("\n\n".join(map(plugin_text, found)))


@app.command()
def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The plugin's name in configurations.", envvar="EVOAGENT_PLUGIN")
    ],
    kind: Annotated[Kind, typer.Option(help="What it is.", envvar="EVOAGENT_PLUGIN_KIND")] = Kind.operator,
    out: Annotated[
        Path | None,
        typer.Option(help="A new or empty folder; default: evoagent-NAME.", envvar="EVOAGENT_PLUGIN_DIR"),
    ] = None,
) -> None:
    """Write a package with a plugin that installs, passes its own tests, and runs: a start for your own."""
    import shlex

    from evoagent.plugins.manager import PluginManager
    from evoagent.scaffold.package import new_package

    taken = [(record.kind, record.name) for record in PluginManager().load().records()]
    folder, run = new_package(name, kind.value, out, taken)
    tell(f"Next: cd {shlex.quote(str(folder))} && pip install -e . && {run}")


@app.command()
def check(
    package: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE",
            help="An installed distribution, a module, or a package's folder.",
            envvar="EVOAGENT_PACKAGE",
        ),
    ],
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME.KEY=VALUE",
            help="A parameter to check a plugin with. May be given again.",
            envvar="EVOAGENT_CHECK_SET",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Start engines with this model, and have them answer.", envvar="EVOAGENT_MODEL")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds that one call may wait.", envvar="EVOAGENT_CHECK_TIMEOUT")
    ] = 20.0,
    json: JsonOption = False,
) -> None:
    """Check plugins as their author: valid, robust on hostile text, deterministic, quick to import.

    Ends with 0 if all is well, 1 if a check failed, 2 if there is no such package.
    """
    from evoagent.cli.plugins_check import check_command

    check_command(package, set or [], model, timeout, as_json=json)

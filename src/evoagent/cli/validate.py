"""evoagent validate: what a configuration would run, or everything that is wrong with it."""

from __future__ import annotations

import typer

from evoagent.cli.options import ConfigArg, JsonOption, SetOption


def validate(config: ConfigArg, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Check a configuration and print it with every default spelled out."""
    from evoagent.config import dump_yaml
    from evoagent.configfile import load_config

    loaded = load_config(config, overrides or ())
    text = loaded.config.model_dump_json(indent=2) + "\n" if as_json else dump_yaml(loaded.config)
    typer.echo(text, nl=False)
    typer.echo(f"{loaded.path}: valid", err=True)

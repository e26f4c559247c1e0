"""evoagent validate: what a configuration would run, or everything that is wrong with it."""

from __future__ import annotations

import json

from evoagent.cli.options import ConfigArg, JsonOption, SetOption
from evoagent.cli.terminal import tell, write, write_json


def validate(config: ConfigArg, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Check a configuration and print it with every default spelled out."""
    from evoagent.config.model import dump_yaml
    from evoagent.runs.config_file import load_config

    loaded = load_config(config, overrides or ())
    if as_json:
        write_json(json.loads(loaded.config.model_dump_json()), indent=2)
    else:
        write(dump_yaml(loaded.config), end="")
    tell(f"{loaded.path}: valid")

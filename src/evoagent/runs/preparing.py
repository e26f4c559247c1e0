"""What a run is given, read and checked: its configuration, its directory, and seeds that are in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from os.path import expanduser
from pathlib import Path
from typing import Any

from evoagent.config.model import RunConfig, resolve_path
from evoagent.config.overrides import Overrides, apply
from evoagent.errors import ConfigError, UserError
from evoagent.ledger.files import SEEDS
from evoagent.plugins.manager import PluginManager
from evoagent.runs.config_file import load_config, plugin_problems, validated
from evoagent.runs.rows import RowsOrPath, StrPath, dump_rows, is_path

"""The file of a run directory that holds seeds which were given in memory."""

Config = StrPath | RunConfig | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run whose configuration is checked; nothing is written yet.

    Attributes:
        base: where relative paths of the configuration start from.
        seeds: those that were given in memory, as the lines of a file; None where the configuration names a file.
    """

    config: RunConfig
    base: Path
    directory: Path
    manager: PluginManager
    seeds: str | None = None


def prepare(
    config: Config,
    *,
    seeds: RowsOrPath | None = None,
    out: StrPath | None = None,
    model: StrPath | None = None,
    limit: int | None = None,
    rounds: int | None = None,
    overrides: Overrides | None = None,
    review: bool = False,
) -> Prepared:
    """Read and check what `evoagent.run` is given, which says what it all means.

    Raises:
        ConfigError: the configuration is wrong; a line for each thing.
    """
    lines = None if seeds is None or is_path(seeds) else dump_rows(seeds)
    given = {
        "seeds.path": SEEDS if lines is not None else _absolute(seeds) if is_path(seeds) else None,
        "models.evolver.model": _absolute(model) if model is not None and Path(model).exists() else model,
        "seeds.limit": limit,
        "stop.rounds": rounds,
        "review": review or None,
    }
    manager = PluginManager().load()
    found, base, output_dir = _read(config, _joined(given, overrides), manager)
    if rounds is not None and found.stages and all(stage.stop is not None for stage in found.stages):
        raise UserError(
            f"rounds: found {rounds}, but each stage has a `stop` of its own; give `stages.0.stop.rounds` and so on"
        )
    directory = output_dir / found.name if out is None else Path(expanduser(out))
    if lines is None:
        return Prepared(found, base, directory, manager)
    kept = found.seeds.model_copy(update={"path": str(directory.absolute() / SEEDS)})
    return Prepared(found.model_copy(update={"seeds": kept}), base, directory, manager, lines)


def _absolute(path: StrPath) -> str:
    """Relative to the current directory, wherever the configuration lies."""
    return str(Path(expanduser(path)).absolute())


def _joined(given: Mapping[str, Any], overrides: Overrides | None) -> Overrides:
    """The arguments as overrides, which those of the caller come after."""
    given = {key: value for key, value in given.items() if value is not None}
    if overrides is None or isinstance(overrides, Mapping):
        return {key: _plain(value) for key, value in {**given, **(overrides or {})}.items()}
    return [*(f"{key}={json.dumps(_plain(value))}" for key, value in given.items()), *overrides]


def _read(config: Config, overrides: Overrides, manager: PluginManager) -> tuple[RunConfig, Path, Path]:
    """The configuration, where its paths start from, and the folder of its run directories."""
    if isinstance(config, (str, PathLike)):
        loaded = load_config(fspath(config), overrides, manager)
        return loaded.config, loaded.base, loaded.output_dir
    if not isinstance(config, (RunConfig, Mapping)):
        raise UserError(f"config: found {config!r:.80}, expected a path, a shipped scenario, a RunConfig or a mapping")
    data = config.model_dump(mode="json") if isinstance(config, RunConfig) else _plain(config)
    applied = apply(data, overrides)
    found, problems = validated(data)
    base = Path.cwd()
    problems += plugin_problems(data, found, manager, base, base)
    if problems or applied.problems or found is None:
        lines = [f"overrides: {problem}" for problem in applied.problems]
        raise ConfigError("\n".join(dict.fromkeys([*lines, *(f"config: {problem}" for problem in problems)])))
    return found, base, resolve_path(found.output.dir, base)


def _plain(value: Any) -> Any:
    """`value` of what YAML has, so that it is changed and checked like a file's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return fspath(value) if isinstance(value, PathLike) else value

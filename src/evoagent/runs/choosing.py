"""Which run of a directory to go on with, or that a new one begins."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from evoagent.config.identity import NOT_IDENTITY, decisions, fingerprint
from evoagent.config.model import EvolverConfig, RunConfig, SeedsConfig, dump_yaml, resolve_path
from evoagent.datasets.replacing import replacing
from evoagent.datasets.seeds import SeedBatch
from evoagent.errors import UserError
from evoagent.ledger.files import CONFIG
from evoagent.ledger.rows import RunRecord
from evoagent.ledger.store import Store


class ChosenRun(NamedTuple):
    """The run to work on.

    Attributes:
        resumed: it goes on with an earlier one.
        changed: the plugins, models and corpora whose versions are others than in the run before.
    """

    record: RunRecord
    resumed: bool
    changed: tuple[str, ...] = ()


def choose_run(
    store: Store,
    directory: Path,
    config: RunConfig,
    versions: Mapping[str, str],
    base: Path,
    seeds: SeedBatch,
    expected: str | None = None,
) -> ChosenRun:
    """The run to work on.

    An unfinished run under the same decisions goes on. Otherwise a new run begins in the same ledger: what
    models have answered before is in the request log, so only what is new is asked. That is also so where operators
    were taken out, for example one whose plugin is broken, and where one has changed: candidates of two versions
    never stand in one run.

    Args:
        versions: of the plugins, models and corpora that `config` names.
        expected: the run to go on with; no other one will do.

    Raises:
        UserError: the directory belongs to another run: other models, seeds, another random seed, further operators.
    """
    identity = {"fingerprint": fingerprint(config), "seeds_sha256": seeds.sha256}
    decided = decisions(config, versions)
    last = store.runs.last_run()
    if last is not None:
        _check_identity(store, directory, config, last, identity)
        # A budget of tokens or minutes would be spent anew if a run that it ended were decided once more.
        budgeted = any(stage.stop.tokens is not None or stage.stop.minutes is not None for stage in config.plan)
        again = last.status == "running" or (last.status == "done" and budgeted and expected is None)
        if again and last.decisions == decided and expected in (None, last.id):
            _write_config(directory, _anchored(config, base))
            return ChosenRun(last, True)
    if expected is not None:
        raise UserError(
            f"{directory}: run {expected!r:.40} is not the one in progress there: it is done, or its configuration "
            "has changed meanwhile; start it again with its input"
        )
    dumped = config.model_dump(mode="json")
    run_id = uuid.uuid4().hex[:16]
    store.runs.begin(run_id, decided, dumped, versions, seeds, len(seeds.bad), identity)
    _write_config(directory, _anchored(config, base))
    begun = store.runs.last_run()
    assert begun is not None
    before = last.versions if last is not None else {}
    return ChosenRun(
        begun, False, tuple(name for name in versions if before.get(name, versions[name]) != versions[name])
    )


def _write_config(directory: Path, config: RunConfig) -> None:
    with replacing(directory / CONFIG) as (partial,):
        partial.write_text(dump_yaml(config), encoding="utf-8")


def _anchored(config: RunConfig, base: Path) -> RunConfig:
    """The configuration with its paths made absolute, so that it can be run again from where it lies now."""
    stages = [stage.model_copy(update={"evolver": _anchored_prompts(stage.evolver, base)}) for stage in config.stages]
    changes = {
        "seeds": _anchored_rows(config.seeds, base),
        "corpora": {name: _anchored_rows(corpus, base) for name, corpus in config.corpora.items()},
        "evolver": _anchored_prompts(config.evolver, base),
        "stages": stages,
    }
    return config.model_copy(update=changes)


def _anchored_rows(rows: SeedsConfig, base: Path) -> SeedsConfig:
    path = resolve_path(rows.path, base)
    return rows.model_copy(update={"path": str(path.absolute())}) if path.exists() else rows


def _anchored_prompts(evolver: EvolverConfig | None, base: Path) -> EvolverConfig | None:
    if evolver is None or evolver.prompts is None:
        return evolver
    return evolver.model_copy(update={"prompts": str(resolve_path(evolver.prompts, base).absolute())})


def _check_identity(
    store: Store, directory: Path, config: RunConfig, last: RunRecord, identity: Mapping[str, str]
) -> None:
    if identity["fingerprint"] not in (store.runs.get_meta("fingerprint"), _with_fewer_operators(last, config)):
        changed = _differences(last.config, config.model_dump(mode="json"))
        kept = [key for key in changed if not any(key == path or key.startswith(f"{path}.") for path in NOT_IDENTITY)]
        raise UserError(
            f"{directory}: belongs to another run; it differs in {', '.join(kept[:5]) or 'its configuration'}. "
            "Choose another --out, or go back to that configuration"
        )
    if store.runs.get_meta("seeds_sha256") != identity["seeds_sha256"]:
        raise UserError(
            f"{directory}: belongs to a run over other seeds; {config.seeds.path} has changed since. "
            "Choose another --out"
        )


def _with_fewer_operators(last: RunRecord, config: RunConfig) -> str | None:
    """The last run's fingerprint with those of its operators that `config` has kept; None if there are others."""
    try:
        before = RunConfig.model_validate(last.config)
    except ValidationError:  # of another version
        return None
    if len(before.stages) != len(config.stages):
        return None
    pairs: list[tuple[Any, Any]] = [(before, config), *zip(before.stages, config.stages, strict=True)]
    fewer: list[Any] = []
    for old, new in pairs:
        evolver = old.evolver
        if evolver is not None and new.evolver is not None:
            if not all(use in evolver.operators for use in new.evolver.operators):
                return None
            evolver = evolver.model_copy(update={"operators": new.evolver.operators})
        fewer.append(old.model_copy(update={"evolver": evolver}))
    whole, *stages = fewer
    return fingerprint(whole.model_copy(update={"stages": stages}))


def _differences(left: Any, right: Any, path: str = "") -> list[str]:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        keys = sorted({*left, *right})
        return [
            found
            for key in keys
            for found in _differences(left.get(key), right.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right) and "stages" in path:
        return [
            found
            for number, (one, other) in enumerate(zip(left, right, strict=True))
            for found in _differences(one, other, f"{path}.{number}")
        ]
    return [] if json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True) else [path]

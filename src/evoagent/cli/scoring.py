"""What `evoagent score` does once its options are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from evoagent.cli.console import listener
from evoagent.cli.process import run
from evoagent.cli.terminal import JsonLines, log_to_stderr, tell, write, write_json
from evoagent.config import CriticConfig, ModelsConfig, PluginUse
from evoagent.datasets.writer import replacing
from evoagent.errors import UserError
from evoagent.plugins.discovery import stdout_to_stderr
from evoagent.plugins.manager import PluginManager
from evoagent.rundir import check_output
from evoagent.scoring import Outcome, score_file
from evoagent.yamltext import YamlError, parse


def score_command(
    data: Path,
    scorers: Sequence[str],
    model: str,
    engine: str,
    dtype: str,
    embedder: str,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """Score `data` to `out` or standard output; the output file appears only when it is whole."""
    log_to_stderr()
    manager = PluginManager().load()
    uses = _uses(scorers)
    models = _models(manager, uses, model, engine, dtype, embedder)
    target: TextIO = JsonLines()
    with stdout_to_stderr(), listener() as listen:
        if out is None:
            outcome = run(score_file(data, uses, models, target, None, manager, listen))
        else:
            if out.is_dir():
                raise UserError(f"--out {out}: found a folder, expected the name of a file")
            check_output(out, data)
            log = out.with_name(out.name + ".ledger.db")
            with replacing(out) as (part,), part.open("w", encoding="utf-8", errors="replace") as file:
                outcome = run(score_file(data, uses, models, file, log, manager, listen))
    _report(outcome, out, as_json)


def _uses(texts: Sequence[str]) -> list[PluginUse]:
    try:
        return list(CriticConfig(scorers=[parse(text).value for text in texts]).scorers)
    except (ValidationError, YamlError) as error:
        raise UserError(f"--scorer: expected a name, or 'name: {{parameter: value}}'; found {list(texts)}") from error


def _models(
    manager: PluginManager, uses: Sequence[PluginUse], model: str, engine: str, dtype: str, embedder: str
) -> ModelsConfig:
    needed = {need for use in uses for need in manager.get("scorer", use.name).needs}
    verbs = manager.get("engine", engine).verbs
    lacking = sorted(need for need in needed if not need.startswith("embedder.") and need.split(".")[1] not in verbs)
    if lacking:
        raise UserError(f"--engine {engine}: the scorers need {', '.join(lacking)}, which it does not have")
    roles: dict[str, Any] = {"evolver": {"engine": engine, "model": model, "dtype": dtype}}
    if any(need.startswith("embedder.") for need in needed):
        roles["embedder"] = {"engine": "sentence-transformers", "model": embedder}
    try:
        return ModelsConfig.model_validate(roles)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--{first['loc'][-1]}: found {first['input']!r}; {first['msg']}") from error


def _report(outcome: Outcome, out: Path | None, as_json: bool) -> None:
    figures = {
        "rows": outcome.rows,
        "broken": len(outcome.broken),
        "missing": dict(outcome.missing),
        "requests": {"sent": outcome.sent, "cached": outcome.cached},
    }
    if as_json and out is not None:
        write_json({"out": str(out), **figures})
        return
    missing = ", ".join(f"{name} {number}" for name, number in outcome.missing.items()) or "none"
    tell(f"{outcome.rows} rows scored, {len(outcome.broken)} broken, scores missing: {missing}")
    if out is not None:
        write(out)

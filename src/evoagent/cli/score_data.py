"""What `evoagent score` does once its options are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evoagent.cli.console import listener
from evoagent.cli.process import run
from evoagent.cli.terminal import JsonLines, log_to_stderr, tell, write, write_json
from evoagent.config.yaml_text import YamlError, parse
from evoagent.errors import UserError
from evoagent.plugins.discovery import stdout_to_stderr
from evoagent.runs.scores import Options, ascore, score_lines
from evoagent.runs.scoring import Scored


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
    uses, target = _uses(scorers), JsonLines()
    with stdout_to_stderr(), listener() as listen:
        options: Options = {"model": model, "engine": engine, "dtype": dtype, "embedder": embedder, "listen": listen}
        if out is None:
            scored = run(score_lines(data, uses, target.write, **options))
        else:
            scored = run(ascore(data, uses, out=out, **options))
    _report(scored, as_json)


def _uses(texts: Sequence[str]) -> list[Any]:
    try:
        return [parse(text).value for text in texts]
    except YamlError as error:
        raise UserError(f"--scorer: expected a name, or 'name: {{parameter: value}}'; found {list(texts)}") from error


def _report(scored: Scored, as_json: bool) -> None:
    figures = {
        "rows": scored.rows,
        "broken": len(scored.broken),
        "missing": dict(scored.missing),
        "requests": {"sent": scored.sent, "cached": scored.cached},
    }
    if as_json and scored.path is not None:
        write_json({"out": str(scored.path), **figures})
        return
    missing = ", ".join(f"{name} {number}" for name, number in scored.missing.items()) or "none"
    tell(f"{scored.rows} rows scored, {len(scored.broken)} broken, scores missing: {missing}")
    if scored.path is not None:
        write(scored.path)

"""`evoagent.score`: scores for the rows of any dataset, as one call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os.path import expanduser
from pathlib import Path
from typing import Any, overload

from pydantic import ValidationError
from typing_extensions import TypedDict, Unpack

from evoagent.config.model import CriticConfig, ModelsConfig, PluginUse
from evoagent.datasets.replacing import replacing
from evoagent.errors import UserError
from evoagent.ledger.files import check_output
from evoagent.models.engines.packed.threads import wait_passively
from evoagent.models.requests import can_answer
from evoagent.plugins.manager import PluginManager
from evoagent.runs.listening import Listener
from evoagent.runs.loops import in_thread, wait_for
from evoagent.runs.rows import RowsOrPath, StrPath, dump_rows, is_path, passing_file
from evoagent.runs.scoring import Scored, score_file

MODEL = "smollm2-135m-instruct"
ENGINE = "transformers"
EMBEDDER = "all-minilm-l6-v2"

Use = str | Mapping[str, Any]
"""A scorer: its name, or `{name: {parameter: value}}`."""


class Options(TypedDict, total=False):
    """The keywords of `score`, but for `out`."""

    model: str
    engine: str
    dtype: str
    embedder: str
    listen: Listener | None


@overload
def score(
    data: RowsOrPath, scorers: Sequence[Use], *, out: None = None, **options: Unpack[Options]
) -> list[dict[str, Any]]: ...


@overload
def score(data: RowsOrPath, scorers: Sequence[Use], *, out: StrPath, **options: Unpack[Options]) -> Scored: ...


def score(
    data: RowsOrPath,
    scorers: Sequence[Use],
    *,
    model: str = MODEL,
    engine: str = ENGINE,
    dtype: str = "auto",
    embedder: str = EMBEDDER,
    out: StrPath | None = None,
    listen: Listener | None = None,
) -> list[dict[str, Any]] | Scored:
    """Score the rows of a dataset, as the command `evoagent score` does.

    It may be called where an event loop runs, as in a notebook: that one stands still meanwhile.

    Args:
        data: a file, or rows in any of the forms that files have.
        scorers: names, or `{name: {parameter: value}}`.
        model: the model that scores and judges, in `engine` and with numbers of `dtype`.
        embedder: the model that embeds, where a scorer needs one.
        out: a file to write, of JSON lines; answers are kept beside it, in OUT.ledger.db, so that the same call again
            asks nothing twice.
        listen: called with each event, a value of `evoagent.events`.

    Returns:
        The rows, each with `scores` and, for those that are missing, `score_reasons`; with `out`, what came of them.

    Raises:
        UserError: the data, a scorer or a model is wrong.
        EvoAgentError: the scoring cannot go on.
        KeyboardInterrupt: Ctrl-C.
    """
    scoring = _score(data, scorers, out, model=model, engine=engine, dtype=dtype, embedder=embedder, listen=listen)
    return wait_for(scoring)


@overload
async def ascore(
    data: RowsOrPath, scorers: Sequence[Use], *, out: None = None, **options: Unpack[Options]
) -> list[dict[str, Any]]: ...


@overload
async def ascore(data: RowsOrPath, scorers: Sequence[Use], *, out: StrPath, **options: Unpack[Options]) -> Scored: ...


async def ascore(
    data: RowsOrPath,
    scorers: Sequence[Use],
    *,
    model: str = MODEL,
    engine: str = ENGINE,
    dtype: str = "auto",
    embedder: str = EMBEDDER,
    out: StrPath | None = None,
    listen: Listener | None = None,
) -> list[dict[str, Any]] | Scored:
    """As `score`, in the event loop that runs already."""
    return await _score(data, scorers, out, model=model, engine=engine, dtype=dtype, embedder=embedder, listen=listen)


async def _score(
    data: RowsOrPath, scorers: Sequence[Use], out: StrPath | None, **options: Unpack[Options]
) -> list[dict[str, Any]] | Scored:
    if out is None:
        lines: list[str] = []
        await score_lines(data, scorers, lines.append, **options)
        return [json.loads(line) for line in lines]
    path = _output(out, data)
    log = path.with_name(path.name + ".ledger.db")
    with replacing(path) as (part,), part.open("w", encoding="utf-8", errors="replace") as file:
        return replace(await score_lines(data, scorers, file.write, log=log, **options), path=path)


def _output(out: StrPath, data: RowsOrPath) -> Path:
    path = Path(expanduser(out))
    if path.is_dir():
        raise UserError(f"out: {path}: found a folder, expected the name of a file")
    check_output(path, *([Path(expanduser(data))] if is_path(data) else []))
    return path


async def score_lines(
    data: RowsOrPath,
    scorers: Sequence[Use],
    write: Callable[[str], object],
    *,
    model: str = MODEL,
    engine: str = ENGINE,
    dtype: str = "auto",
    embedder: str = EMBEDDER,
    log: Path | None = None,
    listen: Listener | None = None,
) -> Scored:
    """As `score`, but `write` each row as a line of JSON; `log` is that of `score_file`."""
    wait_passively()
    manager = await in_thread(PluginManager().load)
    uses = _uses(scorers)
    models = _models(manager, uses, model, engine, dtype, embedder)
    with _file(data) as path:
        return await score_file(path, uses, models, write, log, manager, listen or (lambda event: None))


@contextmanager
def _file(data: RowsOrPath) -> Iterator[Path]:
    if is_path(data):
        yield Path(expanduser(data))
    else:
        with passing_file(dump_rows(data), "data") as path:
            yield path


def _uses(scorers: Sequence[Use]) -> list[PluginUse]:
    try:
        return list(CriticConfig.model_validate({"scorers": scorers}).scorers)
    except ValidationError as error:
        raise UserError(
            f"scorers: expected names, or {{name: {{parameter: value}}}}; found {scorers!r:.200}"
        ) from error


def _models(
    manager: PluginManager, uses: Sequence[PluginUse], model: str, engine: str, dtype: str, embedder: str
) -> ModelsConfig:
    needed = {need for use in uses for need in manager.get("scorer", use.name).needs}
    verbs = manager.get("engine", engine).verbs
    lacking = sorted(
        need for need in needed if not need.startswith("embedder.") and not can_answer(verbs, need.split(".")[1])
    )
    if lacking:
        raise UserError(f"engine {engine}: the scorers need {', '.join(lacking)}, which it does not have")
    roles: dict[str, Any] = {"evolver": {"engine": engine, "model": model, "dtype": dtype}}
    if any(need.startswith("embedder.") for need in needed):
        roles["embedder"] = {"engine": "sentence-transformers", "model": embedder}
    try:
        return ModelsConfig.model_validate(roles)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{first['loc'][-1]}: found {first['input']!r}; {first['msg']}") from error

"""A run from its configuration to its dataset: checks, directory, models, graph."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

from evoagent import __version__
from evoagent.config import ModelConfig, ModelsConfig, RunConfig
from evoagent.datasets.card import CardFacts, CorpusFact, ModelFact
from evoagent.datasets.corpora import Corpus, find_corpus
from evoagent.datasets.seeds import SeedBatch, read_seeds
from evoagent.datasets.writer import write_dataset
from evoagent.errors import ConfigError, UserError
from evoagent.events import Event, NodeProgress, Notice, RunStarted, to_json
from evoagent.graph import build_graph, recursion_limit, ways_of
from evoagent.ledger.corpora import CorpusStore
from evoagent.ledger.database import Database
from evoagent.ledger.request_log import RequestLog
from evoagent.ledger.store import Store
from evoagent.models.dispatcher import Dispatcher, RoleBinding
from evoagent.models.engines.base import Engine
from evoagent.models.pools import Rows
from evoagent.models.requests import Sampling, can_answer
from evoagent.models.roles import Style
from evoagent.models.sources import ResolvedModel, resolve
from evoagent.plugins.loading import load_stage, used_specs, versions
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import PluginSpec
from evoagent.records import Instruction
from evoagent.rundir import EVENTS, LEDGER, ChosenRun, Resume, check_directory, choose_run, locked
from evoagent.state import EvolutionContext, LoadedStage
from evoagent.validation import closest
from evoagent.watchdog import Watchdog

YOUNG_OBJECTS = 20_000  # made between two collections of garbage
SMALL_MODEL = 1_000_000_000
"""Parameters below which a model is shown worked examples instead of being told what to do."""

P = ParamSpec("P")
T = TypeVar("T")

Listener = Callable[[Event], None]
Reviewer = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Model:
    """A role's resolved model and its engine; roles with equal settings share the engine."""

    role: str
    config: ModelConfig
    source: ResolvedModel
    engine: Engine
    plugin: str = ""
    """The engine and its distribution, for messages; "" for an engine that comes with evoagent."""


def load_models(config: ModelsConfig, base: Path, manager: PluginManager) -> list[Model]:
    """Find every role's model and make its engine. Nothing is loaded yet.

    Raises:
        ModelSourceError: a model cannot be found or fetched.
        PluginError: an engine or its options are wrong.
    """
    engines: dict[str, Engine] = {}
    plugins: dict[str, str] = {}
    sources: dict[str, ResolvedModel] = {}
    found: list[Model] = []
    for role in config.roles:
        settings = config.resolve(role)
        if settings is None:
            continue
        key = settings.model_dump_json(exclude={"sampling", "use"})
        if key not in engines:
            assert settings.engine is not None
            assert settings.model is not None
            spec = manager.get("engine", settings.engine)
            sources[key] = _source(settings.model, settings.revision, base, spec.remote)
            engines[key] = manager.create(spec, settings.options, settings, sources[key])
            label = manager.label(spec)
            plugins[key] = f"engine `{spec.name}` of {label}" if label else ""
        found.append(Model(role, settings, sources[key], engines[key], plugins[key]))
    return found


def _source(model: str, revision: str | None, base: Path, remote: bool) -> ResolvedModel:
    if remote:
        return ResolvedModel(model, model, revision, None, "remote", None, False)
    beside = base / model
    return resolve(str(beside) if beside.exists() else model, revision=revision)


def bind(models: list[Model]) -> dict[str, RoleBinding]:
    """What the dispatcher needs to know of each role."""
    bindings = {}
    for model in models:
        sampling = model.config.sampling
        assert sampling is not None
        drawn = Sampling(sampling.temperature, sampling.top_p, sampling.max_tokens)
        bindings[model.role] = RoleBinding(model.engine, drawn, prompt_style(model.source), model.plugin)
    return bindings


def check_capabilities(models: list[Model], specs: list[PluginSpec], corpora: Collection[str] = ()) -> None:
    """Refuse plugins that ask a role for what its engine, with its options, cannot do, or for a corpus that is missing.

    Raises:
        ConfigError: names the plugin, and the role and the engine, or the corpus.
    """
    engines = {model.role: model for model in models}
    for spec in specs:
        for need in spec.needs:
            role, _, verb = need.partition(".")
            if role == "corpora":
                if verb not in corpora:
                    raise ConfigError(f"{spec.kind} `{spec.name}` needs {need}, but there is no such corpus")
                continue
            if role not in engines:
                hint = closest(role, engines)
                raise ConfigError(f"{spec.kind} `{spec.name}` needs {need}, but models.{role} is not configured{hint}")
            model = engines[role]
            if not can_answer(model.engine.capabilities, verb):
                has = ", ".join(sorted(model.engine.capabilities)) or "nothing"
                raise ConfigError(
                    f"{spec.kind} `{spec.name}` needs {need}, but engine `{model.config.engine}` of models.{role} "
                    f"has only {has} with these options"
                )


def prompt_style(source: ResolvedModel) -> Style:
    """Worked examples for tiny models, plain words for others; by the name ("0.5B", "135M") if the size is unknown."""
    parameters = source.parameters
    if parameters is None:
        sizes = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)([mb])(?![a-z])", source.name.lower())
        parameters = max((int(float(n) * (1e6 if unit == "m" else 1e9)) for n, unit in sizes), default=None)
    return "examples" if parameters is not None and parameters < SMALL_MODEL else "plain"


@asynccontextmanager
async def open_run(
    config: RunConfig,
    base: Path,
    directory: Path,
    manager: PluginManager,
    *,
    resume: Resume = "auto",
    run_id: str | None = None,
    seeds: SeedBatch | None = None,
    listen: Listener = lambda event: None,
) -> AsyncIterator[EvolutionContext]:
    """Check everything, then open the run directory and yield the run's context.

    Args:
        run_id: the run to go on with; by default the one in progress, or a new one.
        seeds: the seeds, where they are read already; the configuration's path only names them then.

    Raises:
        UserError: of any kind, before anything is written.
        LedgerError: the ledger cannot be read or written.
    """
    stack = ExitStack()
    try:
        # In a thread: reading seeds and opening the ledger would hold up whoever shares the event loop.
        opened = await in_thread(_open, stack, config, base, directory, manager, resume, run_id, seeds)
        listen = stack.enter_context(logged(directory / EVENTS, listen))
        await _greet(listen, manager, directory, opened.run, opened.read)
        manager.observer_seconds = config.plugin_seconds
        watchdog = Watchdog(manager.owner, lambda text: listen(Notice(text)))
        async with watchdog, _context(opened, config, directory, manager, listen) as context:
            try:
                yield context
            finally:
                await context.save_seconds()
    finally:
        await in_thread(stack.close)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` in a thread and await its end, also when cancelled meanwhile: it is never left half-done."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@dataclass(frozen=True, slots=True)
class _Opened:
    """A run directory that is ours, and what its configuration names, made."""

    database: Database
    run: ChosenRun
    read: Mapping[str, SeedBatch]  # the seeds, as "seed", and the corpora that were not in the ledger yet
    corpora: list[Corpus]
    models: list[Model]
    stages: list[LoadedStage]


def _open(
    stack: ExitStack,
    config: RunConfig,
    base: Path,
    directory: Path,
    manager: PluginManager,
    resume: Resume,
    run_id: str | None,
    seeds: SeedBatch | None,
) -> _Opened:
    """Check everything, then take the directory; `stack` gives it back."""
    check_directory(directory, resume if run_id is None else "always")
    seeds = read_seeds(config.seeds, base) if seeds is None else seeds
    corpora = [find_corpus(name, corpus, base) for name, corpus in config.corpora.items()]
    models = load_models(config.models, base, manager)
    check_capabilities(models, used_specs(config, manager), config.corpora)
    if not (directory / LEDGER).exists():
        for corpus in corpora:  # before anything is written
            corpus.read()
    identities = {f"models.{model.role}": model.engine.identity for model in models}
    identities |= {f"corpora.{corpus.name}": corpus.version for corpus in corpora}
    stages = [load_stage(stage, manager, identities.values()) for stage in config.plan]
    stack.enter_context(locked(directory))
    database = Database(directory / LEDGER)
    stack.callback(database.close)
    store = CorpusStore(database)
    unread = [corpus for corpus in corpora if store.size(corpus.version) is None]
    read = {"seed": seeds} | {f"corpora.{corpus.name}": corpus.read() for corpus in unread}
    run = choose_run(Store(database), directory, config, versions(stages) | identities, base, seeds, run_id)
    for corpus in unread:
        store.add(corpus.version, corpus.read())
    return _Opened(database, run, read, corpora, models, stages)


@asynccontextmanager
async def _context(
    opened: _Opened, config: RunConfig, directory: Path, manager: PluginManager, listen: Listener
) -> AsyncIterator[EvolutionContext]:
    record, database = opened.run.record, opened.database
    log = RequestLog(database, record.id)
    dispatcher = Dispatcher(
        bind(opened.models),
        log,
        database,
        run_seed=config.seed,
        window=config.window,
        on_load=lambda engine: listen(Notice(f"loading {engine.identity}")),
        notice=lambda text: listen(Notice(text)),
        plugin_seconds=config.plugin_seconds,
    )
    usage = await database.run(log.usage)
    async with dispatcher:
        context = EvolutionContext(
            config=config,
            run_id=record.id,
            directory=directory,
            store=Store(database),
            log=log,
            dispatcher=dispatcher,
            stages=opened.stages,
            finish=lambda summary: _finish(context, opened, summary, manager),
            listen=listen,
            corpora={corpus.name: await _rows(corpus, database) for corpus in opened.corpora},
            observe=manager.notify,
            summary=record.summary if record.status == "done" else None,
            seconds_before=record.seconds,
            tokens_before=int(sum(role["prompt"] + role["completion"] for role in usage.values())),
        )
        yield context


async def _rows(corpus: Corpus, database: Database) -> Rows:
    """A corpus to draw from."""
    store = CorpusStore(database)

    async def read(positions: Sequence[int]) -> list[Instruction]:
        return await database.run(store.at, corpus.version, positions)

    size = await database.run(store.size, corpus.version)
    assert size is not None
    return Rows(size, read)


async def run_graph(context: EvolutionContext, answer: Reviewer | None = None) -> dict[str, Any]:
    """Run, or go on with, the graph of an open run; returns its summary.

    Args:
        answer: called with what the graph asks of a person (see `evoagent.nodes.review`), returns the answer.

    Raises:
        UserError: the configuration wants a review, but there is nobody to `answer`.
    """
    with _rare_collections():
        return await _run_graph(context, answer)


async def _run_graph(context: EvolutionContext, answer: Reviewer | None) -> dict[str, Any]:
    async with _checkpoints(context.directory / LEDGER) as saver:
        if context.summary is not None:  # it is done already: write the same dataset again
            await context.store.database.run(context.finish, context.summary)
            return context.summary
        graph = build_graph(**ways_of(context.config)).compile(checkpointer=saver, name="evoagent")
        config: Any = {
            "configurable": {"thread_id": context.run_id},
            "recursion_limit": recursion_limit(context.config),
        }
        snapshot = await graph.aget_state(config)
        start: Any = None if snapshot.next else {}
        while True:
            # Every step is on disk before the next begins: a killed run goes on with the node that it was in.
            stream = graph.astream(start, config, context=context, stream_mode="custom", durability="sync")
            async for event in stream:
                context.listen(cast(Event, event))
            snapshot = await graph.aget_state(config)
            if not snapshot.interrupts:
                break
            if answer is None:
                raise UserError("review: the run asks for decisions, but there is nobody to answer")
            start = Command(resume=answer(snapshot.interrupts[0].value))
    summary: dict[str, Any] = snapshot.values["summary"]
    return summary


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Collect garbage less often: a thousand calls in flight are looked through again and again, and none is garbage.

    With Python's own thresholds that is a quarter of the time of a run whose models cost none.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(YOUNG_OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


@asynccontextmanager
async def _checkpoints(path: Path) -> AsyncIterator[AsyncSqliteSaver]:
    """LangGraph's, in the ledger's own file: whatever is lost of its end, checkpoints and rows are lost together."""
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        try:
            yield saver
        finally:
            # A graph that was cancelled still writes why: closed under that, the file would stay locked.
            await asyncio.sleep(0)
            async with saver.lock:
                pass


@contextmanager
def logged(path: Path, listen: Listener) -> Iterator[Listener]:
    """A listener that also appends every event but the frequent ones to a file of JSON lines."""
    # A thread of its own writes: the event loop waits for no disk.
    writer = ThreadPoolExecutor(1, thread_name_prefix="events")

    def write(event: Event) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": stamp, **to_json(event)}, ensure_ascii=False) + "\n")

    def both(event: Event) -> None:
        if not isinstance(event, NodeProgress):
            writer.submit(write, event)
        listen(event)

    try:
        yield both
    finally:
        writer.shutdown(wait=True)


async def _greet(
    listen: Listener, manager: PluginManager, directory: Path, run: ChosenRun, read: Mapping[str, SeedBatch]
) -> None:
    event = RunStarted(directory.name, str(directory), run.resumed)
    listen(event)
    await in_thread(manager.notify, event)
    if run.changed:
        listen(
            Notice(
                f"changed since the run before: {', '.join(run.changed)}. Candidates are made and judged anew; "
                "what the models have answered already comes from the log"
            )
        )
    for name, batch in read.items():
        if batch.bad:
            lines = ", ".join(str(row.line) for row in batch.bad[:5])
            listen(Notice(f"{len(batch.bad)} of {batch.total} {name} rows are broken and skipped (lines {lines})"))


def _finish(context: EvolutionContext, opened: _Opened, summary: dict[str, Any], manager: PluginManager) -> None:
    config, record, seeds = context.config, opened.run.record, opened.read["seed"]
    operators = dict.fromkeys(use.name for stage in config.plan for use in stage.evolver.operators)
    card = CardFacts(
        name=config.name,
        rounds=summary["rounds"],
        candidates=summary["candidates"],
        seeds=Path(config.seeds.path).name,
        seed_count=seeds.count,
        documents=config.seeds.form == "documents",
        corpora=tuple(
            CorpusFact(
                each.name, Path(config.corpora[each.name].path).name, context.corpora[each.name].size, each.version
            )
            for each in opened.corpora
        ),
        stages=tuple(summary.get("stages", ())),
        rejections=summary["rejected"],
        tried={name: count for name, (count, _) in context.store.counts_by(record.id, "operator").items()},
        figures=context.store.figures(record.id),
        operators={name: manager.get("operator", name).summary for name in operators},
        versions={
            name: version for name, version in record.versions.items() if not name.startswith(("models.", "corpora."))
        },
        models=tuple(
            ModelFact(model.role, model.source.name, model.config.engine, model.source.revision, model.source.licence)
            for model in opened.models
        ),
        seeds_sha256=seeds.sha256,
        run_seed=config.seed,
        version=__version__,
    )
    write_dataset(context.directory / "dataset", context.store.dataset(record.id, record.last_stage), card)
    context.store.end_run(record.id, summary["stop_reason"], summary)

"""Opening a run: its configuration is checked, its directory taken, its plugins and models made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from evoagent.config.model import RunConfig
from evoagent.datasets.corpora import Corpus, find_corpus
from evoagent.datasets.seeds import SeedBatch, read_seeds
from evoagent.events import Notice
from evoagent.graph.context import EvolutionContext
from evoagent.ledger.corpora import CorpusStore
from evoagent.ledger.database import Database
from evoagent.ledger.files import EVENTS, LEDGER
from evoagent.ledger.request_log import RequestLog
from evoagent.ledger.store import Store
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.pools import Rows
from evoagent.plugins.calls import Calls
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.watchdog import Watchdog
from evoagent.records import Instruction
from evoagent.runs.choosing import choose_run
from evoagent.runs.directory import Resume, check_directory, locked
from evoagent.runs.finishing import finish
from evoagent.runs.listening import Listener, greet, logged
from evoagent.runs.loading import load_stage, used_specs, versions
from evoagent.runs.loops import in_thread
from evoagent.runs.models import bind, check_capabilities, load_models
from evoagent.runs.opened import Opened


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
        await greet(listen, manager, directory, opened.run, opened.read)
        manager.observer_seconds = config.plugin_seconds
        watchdog = Watchdog(manager.owner, lambda text: listen(Notice(text)))
        async with watchdog, _context(opened, config, directory, manager, listen) as context:
            try:
                yield context
            finally:
                await context.save_seconds()
    finally:
        await in_thread(stack.close)


def _open(
    stack: ExitStack,
    config: RunConfig,
    base: Path,
    directory: Path,
    manager: PluginManager,
    resume: Resume,
    run_id: str | None,
    seeds: SeedBatch | None,
) -> Opened:
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
    return Opened(database, run, read, corpora, models, stages)


@asynccontextmanager
async def _context(
    opened: Opened, config: RunConfig, directory: Path, manager: PluginManager, listen: Listener
) -> AsyncIterator[EvolutionContext]:
    record, database = opened.run.record, opened.database
    log = RequestLog(database, record.id)
    dispatcher = Dispatcher(
        bind(opened.models),
        log,
        database,
        run_seed=config.seed,
        on_load=lambda engine: listen(Notice(f"loading {engine.identity}")),
        notice=lambda text: listen(Notice(text)),
        slow_seconds=config.plugin_seconds,
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
            calls=Calls(config.window, config.plugin_seconds, lambda: dispatcher.fatal),
            stages=opened.stages,
            finish=lambda summary: finish(context, opened, summary, manager),
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

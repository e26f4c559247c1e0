"""The graph as LangGraph Studio and the Agent Server load it: `langgraph.json` names `graph` below.

A run's input is a configuration and changes to it; everything else is as at the command line. The run directory is
found again from the thread, so a run that was interrupted, or whose server was stopped and started again, goes on
where it was. A server that was killed has lost its own checkpoints: the same input on the same thread then finds what
the models have answered in the run directory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field
from typing_extensions import TypedDict

from evoagent.config.identity import fingerprint
from evoagent.errors import EvoAgentError, UserError
from evoagent.events import Event, to_json
from evoagent.graph.build import Node, build_graph, ways_of
from evoagent.graph.context import EvolutionContext
from evoagent.graph.prepare import goes_on
from evoagent.graph.state import EvolutionState
from evoagent.ledger.files import LEDGER
from evoagent.plugins.manager import PluginManager
from evoagent.records import content_id
from evoagent.runs.config_file import LoadedConfig, load_config
from evoagent.runs.loops import in_thread
from evoagent.runs.opening import open_run

logger = logging.getLogger(__name__)

REST_SECONDS = 3.0  # after which a run whose models are loaded makes room for another
IDLE_SECONDS = 600.0  # that models stay loaded while nobody goes on with a run
RECURSION_LIMIT = 1_000_000  # steps; what ends a run is its configuration
FOLDER = "studio"  # below the configuration's output folder


class StudioInput(TypedDict, total=False):
    """What a person fills in to start a run."""

    config: Annotated[
        str,
        Field(
            default="quickstart",
            title="Configuration",
            description="A shipped scenario such as `quickstart`, or the path of a configuration file.",
        ),
    ]
    overrides: Annotated[
        dict[str, Any],
        Field(
            default={},
            title="Overrides",
            description="Keys of the configuration to change, with their values: "
            '{"seeds.limit": 4, "stop.rounds": 1, "review": true}. A whole section replaces what is there.',
        ),
    ]


class StudioState(StudioInput, EvolutionState, total=False):
    """The state of a run in Studio: its input, its directory, and what every run has."""

    directory: Annotated[str, Field(description="The run directory: ledger, event log and, at the end, the dataset.")]


def graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph, without a checkpointer: the server brings its own. Loads no model."""
    return _graph(optimizer=False)


def graph_with_optimizer() -> CompiledStateGraph[Any, Any, Any, Any]:
    """As `graph`, for configurations with an optimizer."""
    return _graph(optimizer=True)


def _graph(*, optimizer: bool) -> CompiledStateGraph[Any, Any, Any, Any]:
    def wrap(name: str, node: Node) -> Any:
        return _with_session(name, node, optimizer)

    builder = build_graph(
        stages=True, optimizer=optimizer, state=StudioState, input=StudioInput, context=None, wrap=wrap
    )
    compiled = builder.compile(name="evoagent")
    compiled.config = {"recursion_limit": RECURSION_LIMIT}
    return compiled


def _with_session(name: str, node: Node, optimizer: bool) -> Any:
    """`node`, given the context of the run that the state names."""

    async def run(state: StudioState, runtime: Runtime[None], config: RunnableConfig) -> Any:
        thread = str(config.get("configurable", {}).get("thread_id", ""))
        try:
            run_id = None if name == "prepare" else str(state.get("run_id"))
            request = await in_thread(_find, state.get("config"), state.get("overrides"), thread, run_id)
            if ways_of(request.loaded.config)["optimizer"] and not optimizer:
                raise UserError("the configuration has an optimizer, and this graph none: choose `evoagent-optimizer`")
            return await _run(name, node, state, runtime, request)
        except EvoAgentError as error:
            raise RunError(str(error)) from error

    return run


async def _run(name: str, node: Node, state: StudioState, runtime: Runtime[Any], request: _Request) -> Any:
    round = state.get("round")
    if request.run_id is not None and not (isinstance(round, int) and round >= 1):
        raise UserError(f"round: found {round!r:.40}, expected a number from 1")
    async with sessions.use(request) as context:
        first = name == "prepare" and not goes_on(state, context)
        if first and context.summary is not None:
            reason = context.summary["stop_reason"]
            raise UserError(f"{request.directory}: this run is done ({reason}); start another thread, or change it")
        if not first:
            await _check_ledger(state, context)
        write, listen = runtime.stream_writer, context.listen

        def tell(event: Event) -> None:
            listen(event)
            write(to_json(event))

        update = await node(state, runtime.override(context=context, stream_writer=tell))
    if name == "finish":
        await sessions.close(request.directory)
    return {**update, "directory": str(request.directory)} if first else update


async def _check_ledger(state: StudioState, context: EvolutionContext) -> None:
    """The server keeps the state elsewhere: refuse one that is ahead of the ledger, which lost its end or is a copy."""
    totals = await context.store.database.run(context.store.results.totals, context.run_id, state.get("since", 1))
    if totals.candidates < state.get("candidates", 0) or totals.survivors < state.get("survivors", 0):
        raise UserError(
            f"{context.directory}: its ledger holds fewer candidates or survivors than this thread has seen: it is "
            "an older copy, or has lost its end; start this one again with its input"
        )


class RunError(RuntimeError):
    """What ends a run in Studio. The server shows the messages of Python's own kinds of errors only."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A run to open; `run_id` is None where it begins."""

    run_id: str | None
    loaded: LoadedConfig
    directory: Path
    manager: PluginManager


def _find(config: Any, overrides: Any, thread: str, run_id: str | None) -> _Request:
    config, overrides = config or "quickstart", overrides or {}
    if not isinstance(config, str):
        raise UserError(f"config: found {config!r:.80}, expected a scenario such as `quickstart` or a path")
    if not isinstance(overrides, dict):
        raise UserError(f'overrides: found {overrides!r:.80}, expected keys and values such as {{"seeds.limit": 4}}')
    manager = PluginManager().load()
    loaded = load_config(config, overrides, manager)
    # Another thread, or other models, operators or seeds, is another run; other thresholds decide anew on this one.
    mark = content_id(thread, fingerprint(loaded.config), loaded.config.seeds.path)
    directory = loaded.output_dir / FOLDER / f"{loaded.config.name}-{mark[:10]}"
    return _Request(run_id, loaded, directory.absolute(), manager)


@dataclass(slots=True, eq=False)
class _Session:
    """An open run, held by a task of its own: what a task has entered, the same task has to leave."""

    request: _Request
    loop: asyncio.AbstractEventLoop
    ready: asyncio.Future[EvolutionContext]
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    users: int = 0
    used: float = field(default_factory=time.monotonic)
    idle: asyncio.TimerHandle | None = None

    def rests(self) -> bool:
        """Whether it is not just between two nodes."""
        return not self.users and time.monotonic() - self.used > REST_SECONDS


class Sessions:
    """The open runs of this process. A run's models stay loaded from one node to the next, and over an interrupt."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._open: dict[Path, _Session] = {}
        self._idle_seconds = idle_seconds

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def use(self, request: _Request) -> AsyncIterator[EvolutionContext]:
        """The context of a run. The run is closed when it fails, or when nobody has gone on with it for a while."""
        session = await self._enter(request)
        session.users += 1
        try:
            context = await asyncio.shield(session.ready)
            if request.run_id not in (None, context.run_id):
                raise UserError(f"{request.directory}: the run in progress there is another one; start this one again")
            yield context
        except GraphBubbleUp:  # it waits for a person
            raise
        except BaseException:
            await self.close(request.directory)
            raise
        finally:
            session.users -= 1
            session.used = time.monotonic()
            if not session.users and not session.leave.is_set():
                session.idle = session.loop.call_later(self._idle_seconds, session.leave.set)

    async def _enter(self, request: _Request) -> _Session:
        loop = asyncio.get_running_loop()
        session = self._open.get(request.directory)
        # Two nodes may come at once, where a person has sent the graph elsewhere: whoever waited looks again.
        while session is not None and (not await self._fits(session, request) or session.leave.is_set()):
            await self.close(request.directory)
            session = self._open.get(request.directory)
        # Whoever waits for a person gives way: each open run holds its own models.
        for other in list(self._open.values()):
            if other is not session and other.rests() and not other.loop.is_closed():
                other.loop.call_soon_threadsafe(other.leave.set)
        if session is None:
            session = _Session(request, loop, loop.create_future())
            self._open[request.directory] = session
            session.task = loop.create_task(self._hold(session))
        if session.idle is not None:
            session.idle.cancel()
        return session

    async def _fits(self, session: _Session, request: _Request) -> bool:
        """Whether an open run is the one that is asked for, and still there."""
        if session.loop is not asyncio.get_running_loop() or session.request.loaded.config != request.loaded.config:
            return False
        return session.users > 0 or await in_thread((request.directory / LEDGER).exists)

    async def _hold(self, session: _Session) -> None:
        request = session.request
        try:
            async with open_run(
                request.loaded.config, request.loaded.base, request.directory, request.manager, run_id=request.run_id
            ) as context:
                session.ready.set_result(context)
                await session.leave.wait()
        except Exception as error:
            if session.ready.done():
                logger.exception("closing %s", request.directory)
            else:
                session.ready.set_exception(error)
        finally:
            session.leave.set()
            if session.idle is not None:  # it holds the run, and its models
                session.idle.cancel()
            if self._open.get(request.directory) is session:
                del self._open[request.directory]

    async def close(self, directory: Path) -> None:
        """Close a run, if it is open, and wait until its directory is free."""
        session = self._open.get(directory)
        if session is None or session.loop.is_closed():
            self._open.pop(directory, None)
        elif session.loop is asyncio.get_running_loop():
            await _left(session)
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_left(session), session.loop))


async def _left(session: _Session) -> None:
    session.leave.set()
    if session.task is not None:
        await asyncio.wait([session.task])


sessions = Sessions()

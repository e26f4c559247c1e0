"""The dispatcher: everything between a plugin's `await models.evolver.generate(...)` and the engine.

A request goes through four stations: its key is computed; an equal request in flight is joined; the request log is
asked; what is left waits in a `Line` until the engine takes it, together with whatever else is waiting. Answers go to
the log in batched transactions and to the waiting coroutine at once.

Engines start when the first request reaches them: a run that is answered from the log loads no model.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from evoagent.config.problems import closest
from evoagent.errors import EngineError, EvoAgentError, LedgerError, RequestError, TransientError, UserError
from evoagent.failures import explain
from evoagent.ledger.database import Database
from evoagent.ledger.request_log import LoggedRequest, RequestLog
from evoagent.models.accounts import Accounts
from evoagent.models.binding import RoleBinding
from evoagent.models.checks import check_request
from evoagent.models.choices import choose_by_loss
from evoagent.models.codec import decode, encode
from evoagent.models.engine_calls import CLOSE_SECONDS, SLOW_SECONDS, EngineCalls
from evoagent.models.engines.base import Engine, Lane
from evoagent.models.keys import request_key
from evoagent.models.lines import Line, Pending
from evoagent.models.requests import (
    ChooseRequest,
    Completion,
    GenerateRequest,
    Result,
    Sampling,
    Scope,
    Verb,
    can_answer,
    request_seed,
)
from evoagent.models.retries import RetryNotice, RetryPolicy
from evoagent.models.waiting import asking, retrieve, settle
from evoagent.prompts.chat import Style

logger = logging.getLogger(__name__)


class Dispatcher:
    """Serves the roles of one run. Use as an async context manager: it closes the engines and flushes the log."""

    def __init__(
        self,
        roles: Mapping[str, RoleBinding],
        log: RequestLog,
        database: Database,
        *,
        run_seed: int = 0,
        retry: RetryPolicy | None = None,
        on_load: Callable[[Engine], None] | None = None,
        notice: Callable[[str], None] = logger.warning,
        slow_seconds: float | None = SLOW_SECONDS,
    ) -> None:
        """Bind `roles` to their engines; none is loaded before it is asked.

        Args:
            roles: the engine and the sampling of each role, by name.
            log: where answers are looked up and kept, under the run that pays for them.
            database: the log's, whose thread reads and writes it.
            run_seed: of all randomness, together with each request's key.
            retry: how often a request is tried again, and when.
            on_load: called with each engine when its first request comes.
            notice: told what the user should know of an engine.
            slow_seconds: after which a third-party engine that has not answered is told of; None is never.
        """
        self.fatal: EvoAgentError | None = None  # why the run cannot go on
        self.accounts = Accounts()
        self._roles = dict(roles)
        self._engines = EngineCalls(((b.engine, b.plugin) for b in roles.values()), notice, slow_seconds)
        self._log = log
        self._database = database
        self.run_seed = run_seed
        self._retry = retry or RetryPolicy()
        self._on_load = on_load
        self._styles: dict[str, Style | None] = {}
        self._in_flight: dict[str, asyncio.Future[Result]] = {}
        self._lookups: list[Pending] = []
        self._lines: dict[tuple[int, Verb], Line] = {}
        self._starting: dict[int, asyncio.Task[None]] = {}
        self._buffer: list[LoggedRequest] = []
        self._unflushed: dict[str, Result] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking_up = False
        self._writing = asyncio.Lock()
        self._writing_behind = False
        self._retry_notice = RetryNotice(self.accounts, notice)

    # -- what roles ask -----------------------------------------------------------------------------------------

    def sampling(self, role: str) -> Sampling:
        """The configured sampling of `role`."""
        return self._binding(role).sampling

    def style(self, role: str) -> Style:
        """The prompt style of `role`."""
        return self._styles.get(role) or self._binding(role).style

    def set_style(self, role: str, style: Style | None) -> None:
        """Ask `role` in another style from now on; None is the one that suits its model."""
        self._styles[role] = style

    def identity(self, role: str) -> str:
        """Model, revision and precision of `role`, for the record."""
        return self._binding(role).engine.identity

    def has(self, role: str) -> bool:
        """Whether `role` has a model in this run."""
        return role in self._roles

    def _binding(self, role: str) -> RoleBinding:
        try:
            return self._roles[role]
        except KeyError:
            why = f"a plugin asks for this role, but the configuration gives it no model{closest(role, self._roles)}"
            raise UserError(f"models.{role}: {why}") from None

    async def submit(self, role: str, request: Any, scope: Scope) -> Any:
        """Answer `request`, from the log if it has been answered before; `roles.Answering` says by what.

        Raises:
            RequestError: this request cannot be answered.
            TypeError, ValueError: it is no request.
            EngineError, LedgerError: the run cannot go on.
        """
        if self.fatal is not None:
            raise self.fatal
        self._check(role, request)
        if isinstance(request, ChooseRequest) and "choose" not in self._binding(role).engine.capabilities:
            return await choose_by_loss(request, lambda loss: self.submit(role, loss, scope))
        with asking():
            return await self._answer(role, request, scope)

    def _check(self, role: str, request: Any) -> None:
        engine, verb = self._binding(role).engine, request.verb
        if not can_answer(engine.capabilities, verb):
            has = ", ".join(sorted(engine.capabilities)) or "nothing"
            raise UserError(f"asks models.{role} for {verb}, but its engine has only {has}")
        check_request(request)

    async def _answer(self, role: str, request: Any, scope: Scope) -> Any:
        engine = self._binding(role).engine
        key = request_key(request, engine.identity, self.run_seed)
        if key in self._unflushed:  # answered, but not in the log yet
            self.accounts.hit(role, scope)
            return self._unflushed[key]
        future = self._in_flight.get(key)
        if future is None:
            if isinstance(request, GenerateRequest):
                request = replace(request, seed=request_seed(key, self.run_seed))
            future = asyncio.get_running_loop().create_future()
            future.add_done_callback(retrieve)
            self._in_flight[key] = future
            self._lookups.append(Pending(key, role, request, scope, future))
            if not self._looking_up:
                self._looking_up = True
                self._spawn(self._look_up())
        else:
            self.accounts.hit(role, scope)
        # Shielded: others may await the same future when this caller is cancelled.
        return await asyncio.shield(future)

    async def flush(self) -> None:
        """Write every answer so far to the log."""
        async with self._writing:
            entries, self._buffer = self._buffer, []
            if entries:
                try:
                    await self._database.run(self._log.append, entries)
                    for entry in entries:
                        del self._unflushed[entry.key]
                except LedgerError as error:
                    self._buffer = entries + self._buffer  # tried once more when the run closes
                    self._fail(error)
        if self.fatal is not None:
            raise self.fatal

    async def __aenter__(self) -> Dispatcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.flush()
        except EvoAgentError as error:
            logger.debug("while closing: %s", error)
        await settle([*self._tasks, *self._starting.values()], CLOSE_SECONDS)
        for future in self._in_flight.values():
            future.cancel()
        for engine in {id(binding.engine): binding.engine for binding in self._roles.values()}.values():
            await self._engines.close(engine)
        try:
            await self.flush()  # what engines answered while they were closing
        except EvoAgentError as error:
            logger.debug("while closing: %s", error)

    # -- the log ------------------------------------------------------------------------------------------------

    async def _look_up(self) -> None:
        """Ask the log for everything that waits, in one query, until nothing waits."""
        await asyncio.sleep(0)  # let every coroutine that is ready put its request first
        while self._lookups:
            pendings, self._lookups = self._lookups, []
            try:
                found = await self._database.run(self._log.find, [pending.key for pending in pendings])
            except LedgerError as error:
                self._fail(error)
                break
            for pending in pendings:
                if pending.key in found:
                    self.accounts.hit(pending.role, pending.scope)
                    self._resolve(pending, decode(pending.request.verb, *found[pending.key]))
                else:
                    self._line(pending).put(pending)
            for line in list(self._lines.values()):
                self._drive(line)
        self._looking_up = False

    def _record(self, pending: Pending, result: Result, seconds: float) -> None:
        fields, array = encode(result)
        self._unflushed[pending.key] = result
        self._buffer.append(
            LoggedRequest(
                key=pending.key,
                verb=pending.request.verb,
                role=pending.role,
                operator=pending.scope.operator,
                round=pending.scope.round,
                model=self._roles[pending.role].engine.identity,
                result=fields,
                array=array,
                prompt_tokens=result.prompt_tokens,
                completion_tokens=result.completion_tokens if isinstance(result, Completion) else 0,
                seconds=seconds,
            )
        )
        self.accounts.sent(pending.role, pending.scope, result, seconds)
        if not self._writing_behind:
            self._writing_behind = True
            self._spawn(self._write_behind())

    async def _write_behind(self) -> None:
        """Write answers as fast as the ledger's thread takes them: what comes meanwhile is the next transaction."""
        with suppress(EvoAgentError):  # kept in self.fatal, which every waiting coroutine has been given
            while self._buffer:
                await self.flush()
        self._writing_behind = False

    # -- the engines --------------------------------------------------------------------------------------------

    def _line(self, pending: Pending) -> Line:
        engine = self._roles[pending.role].engine
        verb = pending.request.verb
        line = self._lines.get((id(engine), verb))
        if line is None:
            line = Line(engine, verb, engine.lanes.get(verb, Lane()))
            self._lines[id(engine), verb] = line
        return line

    def _drive(self, line: Line) -> None:
        """Hand batches to the engine while it takes them."""
        while self.fatal is None and (batch := line.take()):
            self._spawn(self._serve(line, batch))

    async def _serve(self, line: Line, batch: list[Pending]) -> None:
        started = time.monotonic()
        try:
            await self._started(line.engine)
            started = time.monotonic()
            outcomes = await self._engines.ask(line.engine, line.verb, [pending.request for pending in batch])
        except TransientError as error:
            outcomes = [error] * len(batch)
        except EvoAgentError as error:
            self._fail(error)
            return
        finally:
            line.running -= 1
        ended = time.monotonic()
        line.learn(outcomes[0], started, ended)
        seconds = (ended - started) / len(batch)
        for pending, outcome in zip(batch, outcomes, strict=True):
            self._settle(line, pending, outcome, seconds)
        self._drive(line)

    def _settle(self, line: Line, pending: Pending, outcome: Result | Exception, seconds: float) -> None:
        if not isinstance(outcome, Exception):
            line.successes += 1
            self._record(pending, outcome, seconds)
            self._resolve(pending, outcome)
        elif isinstance(outcome, TransientError):
            self._retry_later(line, pending, outcome)
        elif isinstance(outcome, RequestError):
            self._resolve(pending, outcome)
        elif isinstance(outcome, EvoAgentError):
            self._fail(self._engines.named(line.engine, outcome))
        else:
            self._resolve(pending, RequestError(explain(outcome)))

    def _retry_later(self, line: Line, pending: Pending, error: TransientError) -> None:
        # Whether anything has worked since this request's last attempt: a server that went away served others before.
        alive = pending.attempts > 0 and line.successes > pending.successes_before
        pending.successes_before = line.successes
        pending.attempts += 1
        if pending.attempts >= self._retry.attempts:
            message = f"failed {pending.attempts} times, last with: {error}"
            if alive:
                self._resolve(pending, RequestError(message))  # the engine serves others: it is this request
            else:
                self._fail(
                    EngineError(f"{self._engines.name(line.engine)}: {message}; run the same command again to go on")
                )
            return

        def again() -> None:
            line.put(pending)
            self._drive(line)

        self.accounts.retry(pending.role, pending.scope)
        self._retry_notice.look(error)
        delay = self._retry.delay(pending.attempts, error.retry_after)
        asyncio.get_running_loop().call_later(delay, again)

    async def _started(self, engine: Engine) -> None:
        task = self._starting.get(id(engine))
        if task is None:
            if self._on_load is not None:
                self._on_load(engine)
            task = asyncio.ensure_future(self._engines.start(engine))
            self._starting[id(engine)] = task
        await asyncio.shield(task)

    # -- ends ---------------------------------------------------------------------------------------------------

    def _resolve(self, pending: Pending, outcome: Result | Exception) -> None:
        self._in_flight.pop(pending.key, None)
        if pending.future.done():
            return
        if isinstance(outcome, Exception):
            pending.future.set_exception(outcome)
        else:
            pending.future.set_result(outcome)

    def _fail(self, error: EvoAgentError) -> None:
        """End everything that waits: the run cannot go on. What has been answered is still written."""
        self.fatal = self.fatal or error
        for future in self._in_flight.values():
            if not future.done():
                future.set_exception(self.fatal)
        self._in_flight.clear()
        self._lookups.clear()
        for line in self._lines.values():
            line.clear()

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nobody may wait for ever because of a bug: whatever ends a background task early ends the run."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            known = error if isinstance(error, EvoAgentError) else None
            self._fail(known or EngineError(f"internal error: {type(error).__name__}: {error}"))

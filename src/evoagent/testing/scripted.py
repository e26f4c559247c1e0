"""`Models` over a scripted engine, for calling one plugin without a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from evoagent.config.model import ROLES
from evoagent.ledger.database import Database
from evoagent.ledger.request_log import RequestLog
from evoagent.models.binding import RoleBinding
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.engines.base import Engine
from evoagent.models.engines.scripted import Script, ScriptedEngine
from evoagent.models.pools import Rows, Sources
from evoagent.models.requests import Request, Sampling, Scope, Verb, request_key
from evoagent.models.roles import Models
from evoagent.prompts.chat import Style
from evoagent.records import Instruction


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that a plugin made, and of which role.

    Attributes:
        caller: `Scope.draw` of the `Models` that it went through; "" if these were not scoped.
        key: equal for equal requests.
    """

    role: str
    request: Request
    caller: str
    key: str

    @property
    def verb(self) -> Verb:
        """ "generate", "loss", "embed" or "choose"."""
        return self.request.verb

    @property
    def need(self) -> str:
        """Role and verb as `needs` of a spec has them: "scorer.loss"."""
        return f"{self.role}.{self.verb}"


class RecordingDispatcher(Dispatcher):
    """A dispatcher that keeps what it is asked, in order."""

    def __init__(
        self,
        engine: Engine,
        database: Database,
        *,
        sampling: Sampling,
        style: Style,
        seed: int,
        roles: Iterable[str] = (),
    ) -> None:
        self.requests: list[Sent] = []
        self._identity, self._seed = engine.identity, seed
        binding = RoleBinding(engine, sampling, style)
        bindings = dict.fromkeys((*ROLES, *roles), binding)
        super().__init__(bindings, RequestLog(database, "test"), database, run_seed=seed)

    async def __aenter__(self) -> Self:
        return self

    async def submit(self, role: str, request: Any, scope: Scope) -> Any:
        """Keep `request`, then answer it."""
        try:
            key = request_key(request, self._identity, self._seed)
        except (TypeError, ValueError):
            key = ""  # no request at all, which is told below
        self.requests.append(Sent(role, request, scope.draw, key))
        return await super().submit(role, request, scope)


class ScriptedModels(Models):
    """The five roles, and those that were asked for besides, over one scripted engine.

    Attributes:
        requests: what the roles were asked, in order.
        script: what answers.
    """

    def __init__(
        self, script: Script, dispatcher: RecordingDispatcher, database: Database, sources: Sources | None = None
    ) -> None:
        super().__init__(dispatcher, sources=sources)
        self.script = script
        self._recorder, self._database = dispatcher, database

    @property
    def requests(self) -> list[Sent]:
        """What the roles were asked, in order, also through `scoped`."""
        return self._recorder.requests

    def close(self) -> None:
        """Close the request log; answers are no longer given."""
        self._database.close()


def scripted_models(
    script: Script | None = None,
    *,
    style: Style = "plain",
    temperature: float = 0.0,
    max_tokens: int = 256,
    seed: int = 0,
    roles: Sequence[str] = (),
    pool: Sequence[Instruction] = (),
    corpora: Mapping[str, Sequence[Instruction]] | None = None,
) -> ScriptedModels:
    """Models that answer from `script`, with their request log in memory. Close them, or take the pytest fixture.

    Use them in one event loop only.

    Args:
        roles: names of further roles, beside the five that are built in.
        pool: the other members of the population, for `models.pool`.
        corpora: rows by name, for `models.corpora`.
    """
    engine = ScriptedEngine(script=script)
    database = Database(":memory:")
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
    dispatcher = RecordingDispatcher(engine, database, sampling=sampling, style=style, seed=seed, roles=roles)
    sources = Sources(rows_of(pool), {name: rows_of(rows) for name, rows in (corpora or {}).items()})
    return ScriptedModels(engine.script, dispatcher, database, sources)


def rows_of(items: Sequence[Instruction]) -> Rows:
    """Rows in memory to draw from."""

    async def read(positions: Sequence[int]) -> list[Instruction]:
        return [items[position] for position in positions]

    return Rows(len(items), read)

"""A whole run on a handful of seeds: the real graph, nodes and ledger, with models that answer from a script."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from evoagent.config.model import ONLY_STAGE, RunConfig
from evoagent.errors import UserError
from evoagent.ledger.database import PAGE
from evoagent.ledger.store import Store
from evoagent.models.engines.scripted import Script, ScriptedEngine
from evoagent.models.plugin import Plugin
from evoagent.models.requests import Request, Verb
from evoagent.plugins.declared import spec_of
from evoagent.plugins.discovery import article, installed, is_disabled
from evoagent.plugins.hookspecs import hookimpl
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import EngineSpec, PluginSpec
from evoagent.prompts.chat import Style
from evoagent.records import Candidate, Instruction, Score, Verdict
from evoagent.runs.driving import run_graph
from evoagent.runs.opening import open_run
from evoagent.testing.seeds import SEEDS
from evoagent.testing.spec_plugin import SpecPlugin

_ENGINE = "scripted-in-memory"
_R = TypeVar("_R")

Named = str | Mapping[str, Any] | PluginSpec | type[Plugin] | Plugin
"""A plugin: its name, `{name: {parameter: value}}`, its class, an instance, or a spec."""

_KINDS = ("operator", "scorer", "rule", "selector")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that did not survive, and why."""

    candidate: Candidate
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class TinyRun:
    """What a run leaves behind.

    Attributes:
        candidates: all of them, with responses and scores, in order of round and position.
        survivors: those that were kept.
        rejected: the others, each with the verdict. Rule "error" tells of a plugin that raised, "extracted" of an
            operator that gave no instruction; `verdict.detail` says more.
        figures: what population scorers and selectors measured after each round, as NAME.FIGURE.
        requests: what reached the engine, in order; a request that was answered before is not sent again.
        summary: as `evoagent run --json` prints it.
        rows: the dataset, as in train.jsonl.
    """

    candidates: tuple[Candidate, ...]
    survivors: tuple[Candidate, ...]
    rejected: tuple[Rejected, ...]
    figures: Mapping[int, Mapping[str, float]]
    requests: tuple[Request, ...]
    summary: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def scores(self) -> dict[str, list[Score]]:
        """The scores of all candidates that were scored, by scorer."""
        found: dict[str, list[Score]] = {}
        for candidate in self.candidates:
            for name, score in candidate.scores.items():
                found.setdefault(name, []).append(score)
        return found

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Why candidates were rejected: the details by rule."""
        found: dict[str, list[str]] = {}
        for item in self.rejected:
            found.setdefault(item.verdict.rule, []).append(item.verdict.detail)
        return found


class _Recording(ScriptedEngine):
    """A scripted engine that keeps what it is sent."""

    def __init__(self, requests: list[Request], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._requests = requests

    async def _answer(self, verb: Verb, requests: Sequence[Any], answer: Any) -> list[Any]:
        self._requests.extend(requests)
        return await super()._answer(verb, requests, answer)


@dataclass(slots=True)
class _Engines:
    """The engine of a tiny run, as a plugin."""

    script: Script | None
    requests: list[Request] = field(default_factory=list)

    @hookimpl
    def evoagent_engines(self) -> Iterator[EngineSpec]:
        verbs = ScriptedEngine.capabilities
        yield EngineSpec(name=_ENGINE, factory=self._make, verbs=verbs, remote=True, summary="answers from a script")

    def _make(self, model: Any, source: Any, options: Any) -> ScriptedEngine:
        return _Recording(self.requests, model, source, script=self.script)


async def run_in_memory_async(
    *plugins: object,
    operators: Sequence[Named] = (),
    scorers: Sequence[Named] = (),
    rules: Sequence[Named] = (),
    selector: Named | None = None,
    seeds: Sequence[Instruction] = SEEDS,
    corpora: Mapping[str, Sequence[Instruction]] | None = None,
    rounds: int = 1,
    script: Script | None = None,
    style: Style = "plain",
    temperature: float = 0.7,
    seed: int = 0,
    roles: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
) -> TinyRun:
    """Run `plugins` on a few seeds and tell what came of it; nothing stays on the disk.

    Args:
        plugins: modules or objects with hooks. What they bring takes part, unless it is named below.
        operators: as `rules`, `scorers` and `selector`: what takes part, by name (built-in, installed or of `plugins`),
            or the plugin itself. By default what `plugins` bring, else operator `constraints` and selector `all`.
        seeds: instructions, or documents such as `DOCUMENTS`.
        corpora: what plugins draw from, by name: instructions or documents too.
        script: the answers of all models.
        style: the prompt style that the models ask for.
        roles: names of further roles, beside the five that are built in.
        config: further keys of the configuration, by section: {"models": {...}} for real models.

    Raises:
        UserError: as a run does; a plugin that is not valid is named.
    """
    manager = PluginManager().load()
    engine = _Engines(script)
    manager.add(engine, "evoagent.testing")
    brought: list[PluginSpec] = []
    for number, plugin in enumerate(plugins):
        name = getattr(plugin, "__name__", None) or f"plugin {number + 1}"
        if not _is_installed(plugin):
            manager.add(plugin, name)
        alone = PluginManager()
        alone.add(plugin, name)
        brought += [spec for kind in _KINDS for spec in alone.specs(kind)]

    def uses(kind: str, named: Sequence[Named], default: list[str]) -> list[Any]:
        own = [spec.name for spec in brought if spec.kind == kind]
        return [_use(kind, item, manager) for item in named] or own or default

    values: dict[str, Any] = {
        "name": "tiny",
        "seed": seed,
        "models": {
            "evolver": {"engine": _ENGINE, "model": "scripted", "sampling": {"temperature": temperature}},
            **dict.fromkeys(("embedder", *roles), "evolver"),
        },
        "evolver": {"operators": uses("operator", operators, ["constraints"]), "style": style},
        "critic": {"scorers": uses("scorer", scorers, [])},
        "eliminator": {
            "rules": uses("rule", rules, []),
            "selector": uses("selector", () if selector is None else (selector,), ["all"])[0],
        },
        "stop": {"rounds": rounds},
    }
    for section, changes in (config or {}).items():
        both = isinstance(changes, Mapping) and isinstance(values.get(section), dict)
        values[section] = {**values[section], **changes} if both else changes
    with tempfile.TemporaryDirectory(prefix="evoagent-") as folder:
        rows = {name: _written(items, Path(folder) / f"corpus-{name}.jsonl") for name, items in (corpora or {}).items()}
        values = {"seeds": _written(seeds, Path(folder) / "seeds.jsonl"), "corpora": rows, **values}
        checked = RunConfig.model_validate(values)
        return await _run(checked, Path(folder), manager, engine.requests)


def _written(items: Sequence[Instruction], file: Path) -> dict[str, Any]:
    """How a configuration names `items`, which are written to `file`."""
    documents = [item.is_document for item in items]
    if any(documents) and not all(documents):
        raise UserError(f"{file.stem}: found instructions and documents, expected one of the two")
    with file.open("w", encoding="utf-8") as out:
        for item in items:
            texts = {"instruction": item.instruction, "input": item.input, "output": item.output}
            row = {"text": item.input} if item.is_document else texts
            out.write(json.dumps({**row, "data": dict(item.data)}) + "\n")
    return {"path": str(file), "form": "documents" if any(documents) else "instructions"}


async def _run(config: RunConfig, folder: Path, manager: PluginManager, requests: list[Request]) -> TinyRun:
    async with open_run(config, folder, folder / "run", manager) as context:
        summary = await run_graph(context)
        return await context.store.database.run(_collect, context.store, context.run_id, tuple(requests), summary)


def _collect(store: Store, run_id: str, requests: tuple[Request, ...], summary: Mapping[str, Any]) -> TinyRun:
    found: list[Candidate] = []
    for round in range(1, summary["rounds"] + 1):
        after = -1
        while page := store.candidates.page(run_id, round, after, PAGE):
            found += [stored.candidate for stored in page]
            after = page[-1].position
    verdicts = store.results.verdicts(run_id, [candidate.id for candidate in found])
    return TinyRun(
        candidates=tuple(found),
        survivors=tuple(item for item in found if verdicts[item.id].kept),
        rejected=tuple(Rejected(item, verdicts[item.id]) for item in found if not verdicts[item.id].kept),
        figures=store.runs.figures(run_id),
        requests=requests,
        summary=summary,
        rows=tuple(store.results.dataset(run_id, ONLY_STAGE)),
    )


def run_in_memory(*plugins: object, **options: Any) -> TinyRun:
    """As `run_in_memory_async`, with the same arguments, from code that is not async."""
    return in_thread(lambda: asyncio.run(run_in_memory_async(*plugins, **options)))


def in_thread(call: Callable[[], _R]) -> _R:
    """The result of `call`, made in a thread of its own: the caller may be inside an event loop."""
    found: list[_R] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="evoagent-testing", daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return found[0]


def _is_installed(plugin: object) -> bool:
    """Whether the manager has `plugin` from an entry point already, as in the tests of an installed distribution."""
    for source, entry in installed():
        with suppress(Exception):
            if not is_disabled(source) and entry.load() is plugin:
                return True
    return False


def _use(kind: str, item: Named, manager: PluginManager) -> Any:
    """How a configuration names `item`, which is registered if it is no name."""
    if isinstance(item, (str, Mapping)):
        return item
    spec = item if isinstance(item, PluginSpec) else _spec(kind, item)
    if spec.kind != kind:
        raise UserError(f"found {spec.kind} `{spec.name}` where a plugin of kind {kind} belongs")
    manager.add(SpecPlugin(spec), spec.name)
    return spec.name


def _spec(kind: str, item: object) -> PluginSpec:
    cls = item if isinstance(item, type) else type(item)
    if not issubclass(cls, Plugin) or cls.kind != kind:
        raise UserError(f"found {item!r:.80}, expected a name, a spec, or the class or an instance of {article(kind)}")
    given: dict[str, Any] = {} if item is cls else {"factory": lambda: item, "config": None}
    if not hasattr(cls, "name"):
        given["name"] = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower().strip("_")
    return spec_of(cls, **given)

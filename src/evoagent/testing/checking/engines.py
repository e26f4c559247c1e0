"""The check of an engine: what it declares, and, with a model, how it answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from evoagent.config.model import ModelConfig
from evoagent.errors import EngineError, EvoAgentError, RequestError, TransientError
from evoagent.models.engines.base import Engine
from evoagent.models.requests import (
    Choice,
    ChooseRequest,
    Completion,
    Embedding,
    EmbedRequest,
    GenerateRequest,
    Loss,
    LossRequest,
    Sampling,
    Verb,
)
from evoagent.models.sources.resolve import ResolvedModel, resolve
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import EngineSpec
from evoagent.testing.checking.exercise import STALL_S
from evoagent.testing.checking.findings import Finding, place
from evoagent.testing.checking.hostile import INSTRUCTIONS
from evoagent.testing.checking.stall import Heartbeat

_VERBS = frozenset(get_args(Verb))
_RESULTS: Mapping[str, type] = {
    "generate": Completion,
    "loss": Loss,
    "embed": Embedding,
    "choose": Choice,
}
_SHORT = 64  # tokens of an answer
_CHOICES = ("Yes", "No", "Perhaps")
_CHARACTERS = 2_000  # of a text: more may be beyond what a small model reads


async def engine_findings(
    spec: EngineSpec,
    manager: PluginManager,
    params: Mapping[str, Any],
    model: str | None,
    progress: Callable[[str], None],
) -> list[Finding]:
    """Check an engine; it is started only if `model` says with what."""
    where = place(spec)
    config = ModelConfig(engine=spec.name, model=model or "check")
    remote = spec.remote or model is None
    try:
        source = (
            ResolvedModel(config.model or "", "check", None, None, "remote", None, False)
            if remote
            else resolve(model or "")
        )
        engine = manager.create(spec, params, config, source)
        verbs = manager.verbs(spec, params)
    except EvoAgentError as error:
        return [Finding("factory", where, "error", f"{error}; `--set {spec.name}.KEY=VALUE` gives it parameters")]
    if flaw := _declaration_flaw(engine, verbs):
        return [Finding("factory", where, "error", flaw)]
    findings = [Finding("factory", where)]
    progress("close before start")
    try:
        await engine.close()
    except Exception as error:
        findings.append(Finding("close", where, "error", f"raises {type(error).__name__} before `start`: {error}"))
    if model is None:
        text = "was not started: `--model MODEL` (`model=` in a test) has it answer hostile texts too"
        return [*findings, Finding("answers", where, "note", text)]
    return [*findings, *await _answers(manager.create(spec, params, config, source), where, progress)]


def _declaration_flaw(engine: Any, verbs: frozenset[str]) -> str | None:
    if not verbs or not verbs <= _VERBS:
        return f"found verbs {sorted(verbs)}, expected some of {', '.join(sorted(_VERBS))}"
    if engine.capabilities != verbs:
        return f"its capabilities are {sorted(engine.capabilities)}, but {sorted(verbs)} are declared"
    if not engine.identity.strip():
        return "has no identity: give model, revision and precision, for answers are kept under it"
    if not isinstance(getattr(engine, "lanes", None), dict) or not set(engine.lanes) >= verbs:
        return f"`lanes` must be a dict with a Lane for each of {', '.join(sorted(verbs))}"
    for verb in sorted(verbs):
        if getattr(type(engine), verb, None) in (None, getattr(Engine, verb)):
            return f"says that it can {verb}, but does not define `{verb}`"
    return None


async def _answers(engine: Engine, where: str, progress: Callable[[str], None]) -> list[Finding]:
    findings = []
    try:
        progress("start")
        await engine.start()
        for verb in sorted(engine.capabilities):
            progress(verb)
            findings += await _verb(engine, verb, where)
    except (EvoAgentError, ImportError) as error:
        findings.append(Finding("answers", where, "error", f"{type(error).__name__}: {error}"))
    finally:
        progress("close")
        await engine.close()
        try:
            await engine.close()
        except Exception as error:
            findings.append(Finding("close", where, "error", f"raises {type(error).__name__} the second time: {error}"))
    return findings


async def _verb(engine: Engine, verb: Verb, where: str) -> list[Finding]:
    requests = _requests(verb)
    size = max(1, engine.lanes[verb].batch)
    call: Any = getattr(engine, verb)
    problems: list[str] = []
    async with Heartbeat() as heart:
        for start in range(0, len(requests), size):
            batch = requests[start : start + size]
            try:
                heart.reset()
                outcomes = await call(batch)
                stall = heart.longest()
            except TransientError:
                continue
            except EngineError as error:
                problems.append(f"{verb}: raises EngineError, which ends a run, on hostile texts: {error}")
                break
            except Exception as error:
                problems.append(f"{verb}: raises {type(error).__name__}: {error}; give a RequestError as that outcome")
                break
            problems += _outcome_flaws(verb, batch, outcomes)
            if stall > STALL_S:
                problems.append(f"{verb}: keeps the event loop for {stall * 1000:.0f} ms: answer in a thread")
            await asyncio.sleep(0)
    if problems:
        return [Finding("answers", where, "error", text) for text in dict.fromkeys(problems)]
    return [Finding("answers", where, "ok")]


def _outcome_flaws(verb: str, batch: Sequence[Any], outcomes: Any) -> list[str]:
    if not isinstance(outcomes, (list, tuple)) or len(outcomes) != len(batch):
        return [f"{verb}: found {outcomes!r:.60}, expected a list of {len(batch)} outcomes, in order"]
    return [f"{verb}: {flaw}" for outcome in outcomes if (flaw := _outcome_flaw(verb, outcome))]


def _outcome_flaw(verb: str, outcome: Any) -> str | None:
    if isinstance(outcome, (RequestError, TransientError)):
        return None
    if not isinstance(outcome, _RESULTS[verb]):
        return f"found {outcome!r:.60}, expected {_RESULTS[verb].__name__}, RequestError or TransientError"
    if isinstance(outcome, Completion) and outcome.finish_reason not in ("stop", "length"):
        return f"finish_reason is {outcome.finish_reason!r}, expected 'stop' or 'length'"
    if isinstance(outcome, Loss) and not (math.isfinite(outcome.target_sum) and outcome.target_tokens >= 0):
        return f"found {outcome!r:.80}, expected a finite sum"
    if isinstance(outcome, Choice) and not _sums_to_one(outcome.probabilities):
        return f"found {outcome!r:.80}, expected a probability for each of {', '.join(_CHOICES)}"
    if isinstance(outcome, Embedding) and abs(float(np.linalg.norm(outcome.vector)) - 1) > 1e-3:
        return f"a vector of length {float(np.linalg.norm(outcome.vector)):.3g}, expected 1"
    return None


def _sums_to_one(probabilities: Mapping[str, float]) -> bool:
    return set(probabilities) == set(_CHOICES) and abs(sum(probabilities.values()) - 1) < 1e-6


def _requests(verb: Verb) -> list[Any]:
    texts = [text[:_CHARACTERS] for text in INSTRUCTIONS.values()]
    if verb == "generate":
        sampling = (Sampling(max_tokens=_SHORT), Sampling(0.7, 0.95, _SHORT, ("\n",)))
        return [
            GenerateRequest((("user", text),), sampling=sampling[number % 2], seed=number)
            for number, text in enumerate(texts)
        ]
    if verb == "loss":
        return [LossRequest(text, context, "\n" if context else "") for text in texts for context in ("", "Answer.")]
    if verb == "choose":
        return [ChooseRequest((("user", text),), _CHOICES) for text in texts]
    return [EmbedRequest(text) for text in texts]

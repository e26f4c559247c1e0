"""The check of an engine: what it declares, and, with a model, how it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from evoagent.config.model import ModelConfig
from evoagent.errors import EngineError, EvoAgentError, TransientError
from evoagent.failures import explain
from evoagent.models.checks import check_results
from evoagent.models.engines.base import Engine
from evoagent.models.requests import (
    ChooseRequest,
    Completion,
    Embedding,
    EmbedRequest,
    GenerateRequest,
    LossRequest,
    Sampling,
    Verb,
)
from evoagent.models.sources.resolve import ResolvedModel, resolve
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import EngineSpec
from evoagent.testing.checking.findings import Finding, Severity, place
from evoagent.testing.checking.hostile import INSTRUCTIONS

_SHORT = 64  # tokens of an answer
_CHARACTERS = 2_000  # of a text: more may be beyond what a small model reads


async def engine_findings(
    spec: EngineSpec, manager: PluginManager, params: Mapping[str, Any], model: str | None
) -> list[Finding]:
    """Check an engine; it is started only if `model` says with what."""

    def finding(what: str, message: str = "", severity: Severity = "error") -> Finding:
        return Finding(what, place(spec), severity if message else "ok", message)

    config = ModelConfig(engine=spec.name, model=model or "check")
    named = ResolvedModel(model or "check", "check", None, None, "remote", None, False)
    try:
        source = named if spec.remote or model is None else resolve(model)
        engine: Engine = manager.create(spec, params, config, source)
        verbs = manager.verbs(spec, params)
    except EvoAgentError as error:
        return [finding("factory", f"{error}; `--set {spec.name}.KEY=VALUE` gives it parameters")]
    findings = [finding("factory", _declaration_flaw(engine, verbs))]
    if model is None or findings[0].severity == "error":
        text = "was not started: `--model MODEL` (`model=` in a test) has it answer hostile texts too"
        return [*findings, finding("answers", text, "note")]
    problems = await _problems(engine)
    return [*findings, *(finding("answers", text) for text in dict.fromkeys(problems or [""]))]


def _declaration_flaw(engine: Engine, verbs: frozenset[str]) -> str:
    if engine.capabilities != verbs:
        return f"its capabilities are {sorted(engine.capabilities)}, but {sorted(verbs)} are declared"
    if not set(engine.lanes) >= verbs:
        return f"`lanes` must be a dict with a Lane for each of {', '.join(sorted(verbs))}"
    for verb in sorted(verbs):
        if getattr(type(engine), verb, None) in (None, getattr(Engine, verb, None)):
            return f"says that it can {verb}, but does not define `{verb}`"
    return ""


async def _problems(engine: Engine) -> list[str]:
    """What goes wrong as it is started, asked and closed."""
    problems: list[str] = []
    try:
        await engine.start()
        for verb in sorted(engine.capabilities):
            problems += [f"{verb}: {flaw}" for flaw in await _verb(engine, verb)]
    except (Exception, SystemExit) as error:
        problems.append(f"start: raises {explain(error)}")
    try:
        await engine.close()
    except (Exception, SystemExit) as error:
        problems.append(f"close: raises {explain(error)}")
    return problems


async def _verb(engine: Engine, verb: Verb) -> list[str]:
    requests, size = _requests(verb), engine.lanes[verb].batch
    flaws: list[str] = []
    for start in range(0, len(requests), size):
        batch = requests[start : start + size]
        try:
            found = await getattr(engine, verb)(batch)
            check_results(verb, batch, found)
        except TransientError:
            continue
        except EngineError as error:
            return [*flaws, str(error)]
        except (Exception, SystemExit) as error:
            return [*flaws, f"raises {explain(error)}, which ends a run; give a RequestError as that outcome"]
        flaws += [flaw for answer in found if (flaw := _answer_flaw(answer))]
    return flaws


def _answer_flaw(answer: object) -> str:
    """What a run does not look at, but makes less of."""
    if isinstance(answer, Completion) and answer.finish_reason not in ("stop", "length"):
        return f"finish_reason is {answer.finish_reason!r}, expected 'stop' or 'length'"
    if isinstance(answer, Embedding) and abs((norm := float(np.linalg.norm(answer.vector))) - 1) > 1e-3:
        return f"a vector of length {norm:.3g}, expected 1"
    return ""


def _requests(verb: Verb) -> list[Any]:
    texts = [text[:_CHARACTERS] for text in INSTRUCTIONS.values()]
    if verb == "generate":
        sampling = Sampling(0.7, 0.95, _SHORT, ("\n",))
        return [GenerateRequest((("user", text),), sampling=sampling, seed=seed) for seed, text in enumerate(texts)]
    if verb == "loss":
        return [LossRequest(text, context, "\n" if context else "") for text in texts for context in ("", "Answer.")]
    if verb == "choose":
        return [ChooseRequest((("user", text),), ("Yes", "No", "Perhaps")) for text in texts]
    return [EmbedRequest(text) for text in texts]

"""evoagent evolves instruction-tuning data with small language models.

The public names load when they are first used: `import evoagent` alone imports no library that takes long.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evoagent.config.model import RunConfig
    from evoagent.errors import (
        ConfigError,
        DataError,
        EngineError,
        EvoAgentError,
        LedgerError,
        ModelSourceError,
        PluginError,
        RequestError,
        TransientError,
        UserError,
    )
    from evoagent.models.engines.base import Engine, Lane
    from evoagent.models.requests import (
        Choice,
        ChooseRequest,
        Completion,
        Embedding,
        EmbedRequest,
        GenerateRequest,
        Loss,
        LossRequest,
    )
    from evoagent.models.roles import Models
    from evoagent.operators.base import Operator
    from evoagent.operators.extraction import Extraction, extract
    from evoagent.operators.optimizer import FinishedRound, Optimizer
    from evoagent.operators.prompt import append_sentence
    from evoagent.plugins.hookspecs import hookimpl
    from evoagent.plugins.specs import (
        EngineSpec,
        ExporterSpec,
        OperatorSpec,
        OptimizerSpec,
        ResponseSelectorSpec,
        RuleSpec,
        ScorerSpec,
        SelectorSpec,
    )
    from evoagent.population.base import Population, Vectors
    from evoagent.records import Candidate, Evolution, Instruction, Score, Verdict
    from evoagent.rules.base import PopulationRule, Rule
    from evoagent.runs.api import Run, arun, run
    from evoagent.runs.scores import ascore, score
    from evoagent.runs.scoring import Scored
    from evoagent.scorers.base import PopulationScorer, Scorer
    from evoagent.selectors.base import ResponseSelector, Selector

    __version__: str

_NAMES = {
    "evoagent.config.model": ("RunConfig",),
    "evoagent.rules.base": ("PopulationRule", "Rule"),
    "evoagent.selectors.base": ("ResponseSelector", "Selector"),
    "evoagent.errors": (
        "ConfigError",
        "DataError",
        "EngineError",
        "EvoAgentError",
        "LedgerError",
        "ModelSourceError",
        "PluginError",
        "RequestError",
        "TransientError",
        "UserError",
    ),
    "evoagent.models.engines.base": ("Engine", "Lane"),
    "evoagent.models.requests": (
        "Choice",
        "ChooseRequest",
        "Completion",
        "EmbedRequest",
        "Embedding",
        "GenerateRequest",
        "Loss",
        "LossRequest",
    ),
    "evoagent.models.roles": ("Models",),
    "evoagent.operators.base": ("Operator",),
    "evoagent.operators.extraction": ("Extraction", "extract"),
    "evoagent.operators.optimizer": ("FinishedRound", "Optimizer"),
    "evoagent.operators.prompt": ("append_sentence",),
    "evoagent.plugins.hookspecs": ("hookimpl",),
    "evoagent.plugins.specs": (
        "RuleSpec",
        "EngineSpec",
        "ExporterSpec",
        "OperatorSpec",
        "OptimizerSpec",
        "ResponseSelectorSpec",
        "ScorerSpec",
        "SelectorSpec",
    ),
    "evoagent.population.base": ("Population", "Vectors"),
    "evoagent.records": ("Candidate", "Evolution", "Instruction", "Score", "Verdict"),
    "evoagent.runs.api": ("Run", "arun", "run"),
    "evoagent.runs.scores": ("ascore", "score"),
    "evoagent.scorers.base": ("PopulationScorer", "Scorer"),
    "evoagent.runs.scoring": ("Scored",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Candidate",
    "Choice",
    "ChooseRequest",
    "Completion",
    "ConfigError",
    "DataError",
    "EmbedRequest",
    "Embedding",
    "Engine",
    "EngineError",
    "EngineSpec",
    "EvoAgentError",
    "Evolution",
    "ExporterSpec",
    "Extraction",
    "FinishedRound",
    "GenerateRequest",
    "Instruction",
    "Lane",
    "LedgerError",
    "Loss",
    "LossRequest",
    "ModelSourceError",
    "Models",
    "Operator",
    "OperatorSpec",
    "Optimizer",
    "OptimizerSpec",
    "PluginError",
    "Population",
    "PopulationRule",
    "PopulationScorer",
    "RequestError",
    "ResponseSelector",
    "ResponseSelectorSpec",
    "Rule",
    "RuleSpec",
    "Run",
    "RunConfig",
    "Score",
    "Scored",
    "Scorer",
    "ScorerSpec",
    "Selector",
    "SelectorSpec",
    "TransientError",
    "UserError",
    "Vectors",
    "Verdict",
    "__version__",
    "append_sentence",
    "arun",
    "ascore",
    "extract",
    "hookimpl",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = _find_version()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'evoagent' has no attribute {name!r}")
    globals()[name] = value
    return value


def _find_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("evoagent")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0.1.0"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The models of a run: each role's, found and bound to an engine, and checked for what plugins ask of it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from evoagent.config.model import ModelConfig, ModelsConfig
from evoagent.config.problems import closest
from evoagent.errors import ConfigError
from evoagent.models.binding import RoleBinding
from evoagent.models.engines.base import Engine
from evoagent.models.requests import Sampling, can_answer
from evoagent.models.sources.resolve import ResolvedModel, resolve
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import PluginSpec
from evoagent.prompts.chat import Style

SMALL_MODEL = 1_000_000_000
"""Parameters below which a model is shown worked examples instead of being told what to do."""


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

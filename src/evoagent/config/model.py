"""The run configuration: strict models of what users write in YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from evoagent.failures import is_storable

ROLES = ("evolver", "responder", "judge", "scorer", "embedder")
"""The roles that are built in; a configuration may name more."""

ROLE_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
NO_ROLES = ("corpora", "draw", "pool", "scoped")
"""What `Models` has beside its roles."""


class Strict(BaseModel):
    """Base of everything a user writes: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SamplingConfig(Strict):
    """How a role's tokens are drawn."""

    temperature: float = Field(0.0, ge=0, le=5)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(256, ge=1)


class ModelConfig(Strict):
    """A model, in an engine. Roles with equal settings (but for `sampling`) share one loaded model.

    Either `use` names another role whose model this role shares, or `engine` and `model` are given.
    """

    use: str | None = None
    engine: str | None = None
    model: str | None = None
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    sampling: SamplingConfig | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_two(self) -> ModelConfig:
        if self.use is None and (self.engine is None or self.model is None):
            raise ValueError("expected `engine` and `model`, or `use` with the name of another role")
        if self.use is not None and (self.engine or self.model or self.revision or self.options):
            raise ValueError("`use` shares another role's model: give only `sampling` beside it")
        return self


def _role(value: Any) -> Any:
    return {"use": value} if isinstance(value, str) else value


RoleConfig = Annotated[ModelConfig, BeforeValidator(_role)]


class PluginUse(Strict):
    """A plugin by name, with its parameters: written `name` or `name: {parameter: value}`."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


def _plugin_use(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping) and len(value) == 1 and "name" not in value:
        name, params = next(iter(value.items()))
        if params is None or isinstance(params, Mapping):
            return {"name": str(name), "params": dict(params or {})}
    if isinstance(value, Mapping) and set(value) <= {"name", "params"}:
        return value
    raise ValueError("expected a plugin's name, or one `name: {parameter: value}`")


Use = Annotated[PluginUse, BeforeValidator(_plugin_use)]


def _path_text(value: str) -> str:
    if "\0" in value or not is_storable(value):
        raise ValueError("found NUL or half a surrogate pair, expected a path")
    try:
        Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"found {value!r}: there is no home folder of that user") from None
    return value


PathText = Annotated[str, AfterValidator(_path_text)]


class SeedsConfig(Strict):
    """Where seeds, or the rows of a corpus, come from: instructions, or documents, which are texts without one."""

    path: PathText
    form: Literal["instructions", "documents"] = "instructions"
    format: Literal["auto", "alpaca", "sharegpt", "messages", "plain"] = "auto"
    limit: int | None = Field(None, ge=1)
    max_bad: float = Field(0.1, ge=0, le=1)
    columns: dict[Literal["instruction", "input", "output", "text"], str] | None = None
    split: str = "train"

    @model_validator(mode="after")
    def _of_one_form(self) -> SeedsConfig:
        documents = self.form == "documents"
        if documents and self.format != "auto":
            raise ValueError(f"found format: {self.format}, which is one of instructions, with form: documents")
        wrong = sorted(name for name in self.columns or {} if (name == "text") != documents)
        if wrong:
            expected = "`text` alone" if documents else "`instruction`, `input` or `output`"
            raise ValueError(f"columns: found `{wrong[0]}`, expected {expected} with form: {self.form}")
        return self


CorpusName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class ModelsConfig(Strict):
    """The roles: five that are built in, and any that stand beside them under names of their own.

    A built-in role that is left out shares the evolver's model, but for the embedder.
    """

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, RoleConfig]
    evolver: RoleConfig
    responder: RoleConfig = ModelConfig(use="evolver")
    judge: RoleConfig = ModelConfig(use="evolver")
    scorer: RoleConfig = ModelConfig(use="evolver")
    embedder: RoleConfig | None = None

    @model_validator(mode="after")
    def _resolvable(self) -> ModelsConfig:
        for role in self.roles[len(ROLES) :]:
            if not re.fullmatch(ROLE_NAME, role) or role in NO_ROLES:
                raise ValueError(
                    f"found the role {role[:80]!r}, expected a name of lower-case letters, digits, '_' and '-' "
                    f"that is none of {', '.join(NO_ROLES)}"
                )
        for role in self.roles:
            self.resolve(role)
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """The built-in roles and those that are named here, whether they have a model or not."""
        return (*ROLES, *self.__pydantic_extra__)

    def given(self, role: str) -> ModelConfig | None:
        """The settings of `role` as they are given; None where there are none."""
        found: ModelConfig | None = getattr(self, role) if role in ROLES else self.__pydantic_extra__.get(role)
        return found

    def resolve(self, role: str) -> ModelConfig | None:
        """The settings of `role` with `use` followed, its own sampling kept; None for one that has no model."""
        config = self.given(role)
        if config is None:
            return None
        sampling, seen = config.sampling, {role}
        while config.use is not None:
            if config.use not in self.roles:
                raise ValueError(f"{role}: `use: {config.use}` is no role; expected one of {', '.join(self.roles)}")
            if config.use in seen:
                raise ValueError(f"{role}: `use` goes round in a circle")
            seen.add(config.use)
            target = self.given(config.use)
            if target is None:
                raise ValueError(f"{role}: `use: {config.use}` names a role that has no model")
            config = target
        return config.model_copy(update={"sampling": sampling or _default_sampling(role, config.sampling)})


def _default_sampling(role: str, inherited: SamplingConfig | None) -> SamplingConfig:
    """The source paper's settings: evolving at 0.7 and 0.95, everything else greedy."""
    if role == "evolver":
        return inherited or SamplingConfig(temperature=0.7, top_p=0.95, max_tokens=512)
    return SamplingConfig(temperature=0.0, max_tokens=inherited.max_tokens if inherited else 512)


class EvolverConfig(Strict):
    """Which operators write, and which of them on which parent."""

    operators: list[Use] = Field(min_length=1)
    schedule: Literal["rotation", "random", "all"] = "rotation"
    style: Literal["auto", "plain", "examples"] = "auto"
    samples: int = Field(1, ge=1, le=64)
    prompts: PathText | None = None


class CriticConfig(Strict):
    """Which scorers run, how many responses a candidate gets, and whether hopeless ones are spared the responder."""

    scorers: list[Use] = Field(default_factory=list)
    screen: bool = True
    responses: int = Field(1, ge=0, le=64)
    response_selector: Use = PluginUse(name="first")


class EliminatorConfig(Strict):
    """Which rules reject, in which order, and how the rest is selected."""

    rules: list[Use] = Field(default_factory=list)
    selector: Use = PluginUse(name="all")


class StopConfig(Strict):
    """When a run ends: whatever comes first."""

    rounds: int | None = Field(3, ge=1)
    survivors: int | None = Field(None, ge=1)
    candidates: int | None = Field(None, ge=1)
    tokens: int | None = Field(None, ge=1)
    minutes: float | None = Field(None, gt=0)
    barren_rounds: int | None = Field(2, ge=1)

    @model_validator(mode="after")
    def _bounded(self) -> StopConfig:
        bounds = (self.rounds, self.candidates, self.tokens, self.minutes)
        if all(bound is None for bound in bounds):
            raise ValueError("expected at least one bound: rounds, candidates, tokens or minutes")
        return self


class StageConfig(Strict):
    """One stage of a run. A section that is left out is the one that stands beside `stages`.

    Attributes:
        name: what the ledger, progress and the card call it.
        optimizer: improves the operators' parameters between two rounds.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$")
    evolver: EvolverConfig | None = None
    critic: CriticConfig | None = None
    eliminator: EliminatorConfig | None = None
    optimizer: Use | None = None
    stop: StopConfig | None = None


ONLY_STAGE = "main"  # the stage of a configuration without `stages`


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with all of its sections, as `RunConfig.plan` gives it."""

    name: str
    evolver: EvolverConfig
    critic: CriticConfig
    eliminator: EliminatorConfig
    stop: StopConfig
    optimizer: PluginUse | None = None


class OutputConfig(Strict):
    """Where a run is written."""

    dir: PathText = "runs"


class RunConfig(Strict):
    """A whole run: one stage, or several of them, each with the survivors of the one before as its population."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$")
    seed: int = Field(0, ge=0)
    seeds: SeedsConfig
    corpora: dict[CorpusName, SeedsConfig] = Field(default_factory=dict)
    models: ModelsConfig
    evolver: EvolverConfig | None = None
    critic: CriticConfig = CriticConfig()
    eliminator: EliminatorConfig = EliminatorConfig()
    optimizer: Use | None = None
    stop: StopConfig = StopConfig()
    stages: list[StageConfig] = Field(default_factory=list)
    review: bool = False
    output: OutputConfig = OutputConfig()
    plugins: list[str] = Field(default_factory=list)
    window: int = Field(1024, ge=1)
    plugin_seconds: float | None = Field(300.0, gt=0)

    @model_validator(mode="after")
    def _planned(self) -> RunConfig:
        names = [stage.name for stage in self.stages]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"stages: two are named `{name}`")
        if self.evolver is None and not self.stages:
            raise ValueError("expected `evolver` with its `operators`, or `stages`")
        lacking = [stage.name for stage in self.stages if (stage.evolver or self.evolver) is None]
        if lacking:
            raise ValueError(f"stages: `{lacking[0]}` has no `evolver`, and there is none beside `stages`")
        responder = self.models.resolve("responder")
        greedy = responder is not None and responder.sampling is not None and responder.sampling.temperature == 0
        if greedy and any(stage.critic.responses > 1 for stage in self.plan):
            raise ValueError(
                "found critic.responses above 1, which would all be alike: expected a temperature above 0 in "
                "models.responder.sampling"
            )
        return self

    @property
    def plan(self) -> tuple[Stage, ...]:
        """The stages in order, each with all of its sections."""
        stages = self.stages or [StageConfig(name=ONLY_STAGE)]
        return tuple(self._stage(stage) for stage in stages)

    def _stage(self, stage: StageConfig) -> Stage:
        evolver = stage.evolver or self.evolver
        assert evolver is not None
        return Stage(
            name=stage.name,
            evolver=evolver,
            critic=stage.critic or self.critic,
            eliminator=stage.eliminator or self.eliminator,
            stop=stage.stop or self.stop,
            optimizer=stage.optimizer or self.optimizer,
        )


def dump_yaml(config: RunConfig) -> str:
    """The resolved configuration as YAML, every default spelled out."""
    import yaml

    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def resolve_path(path: str, base: Path) -> Path:
    """A path of the configuration: relative ones are relative to the file that names them."""
    candidate = Path(path).expanduser()
    return candidate if candidate.is_absolute() else base / candidate

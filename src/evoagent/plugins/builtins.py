"""The plugins that come with evoagent, through the same hooks as anybody's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from evoagent.plugins.hookspecs import hookimpl
from evoagent.plugins.specs import (
    EngineSpec,
    ExporterSpec,
    OperatorSpec,
    ResponseSelectorSpec,
    RuleSpec,
    ScorerSpec,
    SelectorSpec,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from evoagent.prompts.prompt_file import PromptFile


@dataclass(frozen=True, slots=True)
class lazy:
    """A factory by its address, "package.module:name", which is imported at the first call."""

    target: str

    def __call__(self, *args: Any) -> Any:
        """Import it and call it."""
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)(*args)


def prompt_operator(file: PromptFile) -> OperatorSpec:
    """The operator that a prompt file is."""
    return OperatorSpec(
        name=file.name,
        factory=partial(lazy("evoagent.operators.prompt:PromptOperator"), file),
        summary=file.head.method,
        family=file.family,
        needs=file.head.needs,
    )


@hookimpl
def evoagent_operators() -> Iterator[OperatorSpec]:
    """One operator for each shipped prompt file."""
    from evoagent.config.resources import prompts_dir
    from evoagent.prompts.prompt_file import load_prompt_dir

    yield from map(prompt_operator, load_prompt_dir(prompts_dir()))


@hookimpl
def evoagent_scorers() -> Iterator[ScorerSpec]:
    """The scorers; the loss-based ones share their forward passes."""
    from evoagent.scorers.difficulty import DifficultyConfig
    from evoagent.scorers.losses import IFDConfig

    losses = (
        ("ifd", "IFD", "L(A|Q) / L(A): how little the instruction helps with its response", False),
        ("ifd_ppl", "IFDPerplexity", "IFD as a ratio of perplexities", False),
        ("ic_ifd", "InstructionComplexIFD", "L(A|Q) / (L(Q) L(A)): IFD, corrected for a complex instruction", False),
        ("instruction_loss", "InstructionLoss", "L(Q): how unexpected the instruction is", True),
    )
    for name, factory, summary, ascending in losses:
        yield ScorerSpec(
            name=name,
            factory=lazy(f"evoagent.scorers.losses:{factory}"),
            config=IFDConfig,
            needs=("scorer.loss",),
            summary=summary,
            ascending=ascending,
        )
    yield ScorerSpec(
        name="difficulty",
        factory=lazy("evoagent.scorers.difficulty:Difficulty"),
        config=DifficultyConfig,
        needs=("judge.generate",),
        summary="difficulty from 0 to 100, by a judge",
    )
    yield ScorerSpec(
        name="embedding_diversity",
        factory=lazy("evoagent.scorers.embedding_diversity:EmbeddingDiversity"),
        needs=("embedder.embed",),
        summary="distance to the nearest survivor or sibling",
        population=True,
    )
    yield ScorerSpec(
        name="length",
        factory=lazy("evoagent.scorers.length:Length"),
        summary="words of the instruction",
        ascending=True,
    )


@hookimpl
def evoagent_rules() -> Iterator[RuleSpec]:
    """The rules, in the order in which they are best applied: the cheap ones first."""
    yield from _instruction_rules()
    yield from _response_rules()


def _instruction_rules() -> Iterator[RuleSpec]:
    from evoagent.rules.detector import NotAnInstructionConfig
    from evoagent.rules.language import LanguageConfig
    from evoagent.rules.relevance import RelevanceConfig
    from evoagent.rules.semantic import DriftConfig, NoInformationGainConfig
    from evoagent.rules.surface import LengthRatioConfig, RepetitionConfig, UnchangedConfig
    from evoagent.rules.template_leak import TemplateLeakConfig

    rules: tuple[tuple[str, str, type[BaseModel] | None, tuple[str, ...], str], ...] = (
        ("extracted", "surface:Extracted", None, (), "no instruction could be found in the completion"),
        ("truncated", "surface:Truncated", None, (), "the evolver ran into its token limit"),
        ("unchanged", "surface:Unchanged", UnchangedConfig, (), "the parent again, or nearly"),
        (
            "length_ratio",
            "surface:LengthRatio",
            LengthRatioConfig,
            (),
            "too short or too long, also against the parent",
        ),
        ("repetition", "surface:Repetition", RepetitionConfig, (), "the same words over and over"),
        ("language", "language:Language", LanguageConfig, (), "another script or language than the parent's"),
        ("missing_input", "surface:MissingInput", None, (), "speaks of an input that is not there"),
        ("template_leak", "template_leak:TemplateLeak", TemplateLeakConfig, (), "words or examples of the prompt"),
        (
            "not_an_instruction",
            "detector:NotAnInstruction",
            NotAnInstructionConfig,
            ("embedder.embed",),
            "an answer that poses as an instruction",
        ),
        ("drift", "semantic:Drift", DriftConfig, ("embedder.embed",), "in depth, but about something else"),
        (
            "relevance",
            "relevance:Relevance",
            RelevanceConfig,
            ("scorer.loss",),
            "adds what has nothing to do with the parent",
        ),
        (
            "no_information_gain",
            "semantic:NoInformationGain",
            NoInformationGainConfig,
            ("judge.generate",),
            "asks what its parent asks",
        ),
    )
    for name, address, config, needs, summary in rules:
        factory = lazy(f"evoagent.rules.{address}")
        yield RuleSpec(name=name, factory=factory, config=config, needs=needs, summary=summary, looks_at="instruction")


def _response_rules() -> Iterator[RuleSpec]:
    from evoagent.rules.near_duplicate import NearDuplicateConfig
    from evoagent.rules.responses import RefusalConfig

    yield RuleSpec(
        name="refusal",
        factory=lazy("evoagent.rules.responses:Refusal"),
        config=RefusalConfig,
        summary="a short response that apologises",
    )
    yield RuleSpec(
        name="empty_response",
        factory=lazy("evoagent.rules.responses:EmptyResponse"),
        summary="a response of punctuation and stop words",
    )
    yield RuleSpec(
        name="near_duplicate",
        factory=lazy("evoagent.rules.near_duplicate:NearDuplicate"),
        config=NearDuplicateConfig,
        needs=("embedder.embed",),
        looks_at="population",
        summary="nearly a survivor or a better sibling",
    )


@hookimpl
def evoagent_selectors() -> Iterator[SelectorSpec]:
    """The selectors."""
    from evoagent.selectors.by_score import ThresholdConfig, TopConfig
    from evoagent.selectors.responses import BestConfig

    yield SelectorSpec(
        name="all", factory=lazy("evoagent.selectors.by_score:All"), summary="everything that no rule rejects"
    )
    yield SelectorSpec(
        name="threshold",
        factory=lazy("evoagent.selectors.by_score:Threshold"),
        config=ThresholdConfig,
        summary="scores within bounds",
    )
    yield SelectorSpec(
        name="top",
        factory=lazy("evoagent.selectors.by_score:Top"),
        config=TopConfig,
        summary="the best share or number by a score",
    )
    yield ResponseSelectorSpec(
        name="first", factory=lazy("evoagent.selectors.responses:First"), summary="the first of several responses"
    )
    yield ResponseSelectorSpec(
        name="best",
        factory=lazy("evoagent.selectors.responses:Best"),
        config=BestConfig,
        summary="the best of several responses by a score",
    )


@hookimpl
def evoagent_engines() -> Iterator[EngineSpec]:
    """The engines."""
    from evoagent.models.engines.openai import OpenAIOptions
    from evoagent.models.engines.scripted import ScriptedOptions
    from evoagent.models.engines.transformers import TransformersOptions
    from evoagent.models.engines.vllm import VllmOptions

    yield EngineSpec(
        name="transformers",
        factory=lazy("evoagent.models.engines.transformers:TransformersEngine"),
        config=TransformersOptions,
        verbs=frozenset({"generate", "loss"}),
        summary="Hugging Face transformers in batches, on CPU or GPU",
    )
    yield EngineSpec(
        name="vllm",
        factory=lazy("evoagent.models.engines.vllm:VllmEngine"),
        config=VllmOptions,
        verbs=frozenset({"generate", "loss"}),
        summary="vLLM with continuous batching, on GPU or CPU",
    )
    yield EngineSpec(
        name="openai",
        factory=lazy("evoagent.models.engines.openai:OpenAIEngine"),
        config=OpenAIOptions,
        verbs=frozenset({"generate", "choose"}),
        verbs_of=_openai_verbs,
        remote=True,
        summary="any server with an OpenAI-compatible API",
    )
    yield EngineSpec(
        name="scripted",
        factory=lazy("evoagent.models.engines.scripted:ScriptedEngine"),
        config=ScriptedOptions,
        verbs=frozenset({"generate", "loss", "embed", "choose"}),
        remote=True,
        summary="answers from a script, for tests",
    )
    from evoagent.models.engines.sentence_transformers import SentenceTransformersOptions

    yield EngineSpec(
        name="sentence-transformers",
        factory=lazy("evoagent.models.engines.sentence_transformers:SentenceTransformersEngine"),
        config=SentenceTransformersOptions,
        verbs=frozenset({"embed"}),
        summary="embedding models",
    )


def _openai_verbs(options: Any) -> frozenset[str]:
    given = {
        "generate": True,
        "loss": options.loss != "none",
        "embed": options.embed,
        "choose": options.loss != "vllm-prompt-logprobs",
    }
    return frozenset(verb for verb, has in given.items() if has)


@hookimpl
def evoagent_exporters() -> Iterator[ExporterSpec]:
    """The training formats."""
    formats: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("alpaca", "instruction, input, output", {}),
        ("sharegpt", "conversations of a human and a gpt turn", {}),
        ("messages", "messages of a user and an assistant turn", {}),
        ("parquet", "every column, in a Parquet file", {"suffix": ".parquet"}),
        ("preference", "prompt, chosen and rejected, where there were several responses", {"responses": True}),
    )
    for name, summary, more in formats:
        convert = lazy(f"evoagent.datasets.exporters:to_{name}")
        yield ExporterSpec(name=name, factory=partial(_itself, convert), summary=summary, **more)


def _itself(convert: lazy) -> lazy:
    return convert

"""What an engine is: verbs over batches, and a declaration of what it can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from evoagent.models.plugin import Plugin
from evoagent.models.requests import (
    Choice,
    ChooseRequest,
    Completion,
    Embedding,
    EmbedRequest,
    GenerateRequest,
    Loss,
    LossRequest,
    Verb,
)

if TYPE_CHECKING:
    from evoagent.config.model import ModelConfig
    from evoagent.models.sources.resolve import ResolvedModel


@dataclass(frozen=True, slots=True)
class Lane:
    """How a verb takes its requests: up to `parallel` calls at once, each with up to `batch` requests.

    A continuous-batching engine takes batch=1 and a high `parallel`; a static one a large batch and parallel=1.
    """

    batch: int = 1
    parallel: int = 1


class Engine(Plugin):
    """One loaded model. Subclasses override the verbs that they have and name them in `lanes`.

    A verb returns one outcome for each request, in order: a result, or an exception for that request alone
    (`RequestError` for good, `TransientError` to be retried). Raising fails the whole batch: `EngineError` stops the
    run, `TransientError` retries all of the batch.

    Attributes:
        capabilities: the verbs that this engine has; those of an instance may depend on its options, and stand before
            `start`.
        remote: it loads no weights here, so its model's name is not looked up before the run.
        identity: model, revision and precision: what makes two answers comparable; part of every request's key.
        parameters: number of parameters in the model if known; chooses the prompt style.
        licence: the model's licence if known, for the dataset card.
        model: the settings of the role, as the configuration has them.
        source: what the model's name was resolved to.
    """

    kind = "engine"
    capabilities: frozenset[Verb] = frozenset()
    remote: ClassVar[bool] = False

    identity: str = ""
    parameters: int | None = None
    licence: str | None = None
    lanes: dict[Verb, Lane]

    def __init__(self, model: ModelConfig, source: ResolvedModel, config: Any = None) -> None:
        """A class that defines its own takes the same three."""
        super().__init__(config)
        self.model, self.source = model, source

    @classmethod
    def verbs_of(cls, config: Any) -> frozenset[Verb]:
        """The verbs under `config`, for a class whose options decide; asked before any engine is made."""
        return cls.capabilities

    async def start(self) -> None:
        """Load the model. Called once, before the first request; raises `ModelSourceError` or `EngineError`."""

    async def close(self) -> None:
        """Free what was loaded. Called once, whatever happened before; never raises."""

    async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
        """Complete each prompt."""
        raise NotImplementedError

    async def loss(self, requests: Sequence[LossRequest]) -> list[Loss | Exception]:
        """Score each target."""
        raise NotImplementedError

    async def choose(self, requests: Sequence[ChooseRequest]) -> list[Choice | Exception]:
        """Weigh the answers. An engine that has `loss` needs none: it is asked for the loss of each answer instead."""
        raise NotImplementedError

    async def embed(self, requests: Sequence[EmbedRequest]) -> list[Embedding | Exception]:
        """Embed each text into a unit vector."""
        raise NotImplementedError

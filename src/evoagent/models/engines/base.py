"""What an engine is: verbs over batches, and a declaration of what it can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Lane:
    """How a verb takes its requests: up to `parallel` calls at once, each with up to `batch` requests.

    A continuous-batching engine takes batch=1 and a high `parallel`; a static one a large batch and parallel=1.
    """

    batch: int = 1
    parallel: int = 1


class Engine:
    """One loaded model. Subclasses override the verbs that they have and name them in `lanes`.

    A verb returns one outcome for each request, in order: a result, or an exception for that request alone
    (`RequestError` for good, `TransientError` to be retried). Raising fails the whole batch: `EngineError` stops the
    run, `TransientError` retries all of the batch.

    Attributes:
        capabilities: the verbs that this engine has; may depend on its options, and stands before `start`.
        identity: model, revision and precision: what makes two answers comparable; part of every request's key.
        parameters: number of parameters in the model if known; chooses the prompt style.
        licence: the model's licence if known, for the dataset card.
    """

    capabilities: frozenset[Verb] = frozenset()

    identity: str = ""
    parameters: int | None = None
    licence: str | None = None
    lanes: dict[Verb, Lane]

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

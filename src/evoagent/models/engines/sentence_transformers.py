"""The `sentence-transformers` engine: unit vectors that do not depend on what else is embedded with them.

`SentenceTransformer.encode` pads to the longest text of a batch, which changes a vector's last bits with its
neighbours. Here texts of equal length, rounded up to 16 tokens, go through the model together (see `invariance`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from evoagent.config.model import ModelConfig, Strict
from evoagent.errors import EngineError, RequestError
from evoagent.models.engines.base import Engine, Lane
from evoagent.models.engines.device import choose_device
from evoagent.models.engines.packed.threads import LOADING, wait_passively
from evoagent.models.engines.packed.tickets import Ticket
from evoagent.models.engines.packed.worker import Job, Worker
from evoagent.models.requests import Embedding, EmbedRequest

if TYPE_CHECKING:
    from evoagent.models.sources.resolve import ResolvedModel

_ROWWISE = ("Transformer", "Pooling", "Normalize")


class SentenceTransformersOptions(Strict):
    """Options of the `sentence-transformers` engine.

    Attributes:
        device: where it runs; by default on a GPU where there is one.
        batch_tokens: tokens in a pass.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_tokens: int = Field(8192, ge=64)


class SentenceTransformersEngine(Engine):
    """An embedding model in a thread of its own. "auto" precision is float32."""

    capabilities = frozenset({"embed"})

    def __init__(self, model: ModelConfig, source: ResolvedModel, options: SentenceTransformersOptions) -> None:
        wait_passively()
        self._source = source
        self._options = options
        self.device = choose_device(options.device)
        self.dtype = "float32" if model.dtype == "auto" else model.dtype
        self.identity = f"{source.name}@{source.revision or 'local'}:{self.dtype}:sentence-transformers"
        self.parameters = source.parameters
        self.licence = source.licence
        self.lanes = {"embed": Lane(batch=256, parallel=1)}
        self._worker: Worker | None = None

    async def start(self) -> None:
        """Load the model in its thread.

        Raises:
            EngineError: the model cannot be loaded, or does not read tokens.
        """
        self._worker = Worker(self._load, self.identity)
        await self._worker.started()

    async def close(self) -> None:
        """End the thread and free the model; what is in flight fails with an `EngineError`."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await asyncio.shield(asyncio.to_thread(worker.stop))

    async def embed(self, requests: Sequence[EmbedRequest]) -> list[Embedding | Exception]:
        """Embed each text; what is longer than the model reads is cut."""
        if self._worker is None:
            raise EngineError(f"the sentence-transformers engine of {self._source.name} is not running: start it first")
        outcomes: list[Embedding | Exception] = await self._worker.do("embed", [request.text for request in requests])
        return outcomes

    def _load(self) -> dict[str, Job]:
        with LOADING:
            return self._load_alone()

    def _load_alone(self) -> dict[str, Job]:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        from evoagent.models.engines.packed.invariance import prepare

        disable_progress_bar()
        source = self._source
        model = SentenceTransformer(
            source.path,
            device=self.device,
            revision=None if source.local else source.revision,
            model_kwargs={"dtype": getattr(torch, self.dtype), "attn_implementation": "eager"},
        ).eval()
        self.parameters = source.parameters or sum(parameter.numel() for parameter in model.parameters())
        prepare(model)
        return {"embed": Embedder(model, self._options.batch_tokens)}


class Embedder:
    """Embeds the batches in `waiting`, one at every `step`."""

    def __init__(self, model: Any, batch_tokens: int) -> None:
        """Take over a `SentenceTransformer` that `prepare` has been through.

        Raises:
            EngineError: the model has no attention mask, for it does not read tokens.
        """
        self.waiting: deque[tuple[Ticket, Any]] = deque()
        self._model = model
        self._batch_tokens = batch_tokens
        self._left = getattr(model.tokenizer, "padding_side", "right") == "left"
        # Layers after the pooling see a row for each text: whole multiples of 16 of them, too.
        self._rows = 1 if all(type(module).__name__ in _ROWWISE for module in model) else 16
        if "attention_mask" not in self._tokenize(["-"]):
            raise EngineError(f"{type(model[0]).__name__} gives no attention mask: expected a transformer")

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.waiting)

    def step(self) -> None:
        """Embed one batch."""
        ticket, texts = self.waiting.popleft()
        if ticket.cancelled:
            return
        try:
            ticket.resolve(self._embed(texts))
        except BaseException as error:
            ticket.resolve(EngineError(f"embedding failed: {type(error).__name__}: {error}"))
            raise

    def abandon(self) -> list[Ticket]:
        """Forget everything, and return the tickets of what was waiting."""
        tickets = [ticket for ticket, _ in self.waiting]
        self.waiting.clear()
        return tickets

    def _tokenize(self, texts: list[str]) -> dict[str, Any]:
        features: dict[str, Any] = self._model.preprocess(
            texts, processing_kwargs={"text": {"padding": True, "pad_to_multiple_of": 16}}
        )
        return features

    def _embed(self, texts: list[str]) -> list[Embedding | Exception]:
        features = self._tokenize(texts)
        counts = features["attention_mask"].sum(dim=1).tolist()
        by_length: dict[int, list[int]] = {}
        for index, count in enumerate(counts):
            by_length.setdefault(max(16, -(-count // 16) * 16), []).append(index)
        outcomes: dict[int, Embedding | Exception] = {}
        for length, indices in sorted(by_length.items()):
            rows = max(self._rows, self._batch_tokens // length // self._rows * self._rows)
            for start in range(0, len(indices), rows):
                part = indices[start : start + rows]
                for index, vector in zip(part, self._forward(features, part, length), strict=True):
                    outcomes[index] = _unit(vector, counts[index])
        return [outcomes[index] for index in range(len(texts))]

    def _forward(self, features: dict[str, Any], indices: list[int], length: int) -> Any:
        """Vectors of the texts at `indices`, in as many tokens as they need; shape (texts, dimensions), float32."""
        import torch

        padded = indices + [indices[0]] * (-len(indices) % self._rows)
        shape = features["attention_mask"].shape
        columns = slice(shape[1] - length, None) if self._left else slice(0, length)
        inputs = {
            name: value[padded][:, columns].to(self._model.device)
            if isinstance(value, torch.Tensor) and value.shape == shape
            else value
            for name, value in features.items()
        }
        with torch.inference_mode():
            vectors = self._model(inputs)["sentence_embedding"][: len(indices)]
        return vectors.float().cpu().numpy()


def _unit(vector: Any, tokens: int) -> Embedding | Exception:
    norm = float(np.sqrt(np.sum(np.square(vector, dtype=np.float64))))
    if not np.isfinite(norm) or norm == 0:
        return RequestError(f"the text's vector has length {norm}; expected a finite one above 0")
    return Embedding((vector / np.float64(norm)).astype(np.float32), tokens)

"""Scoring texts: packed passes, logits only where a token is scored.

Imports torch: import this module only where a model is loaded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from evoagent.errors import RequestError
from evoagent.models.engines.packed.decoder import Chunk, PackedModel, Plan
from evoagent.models.engines.packed.invariance import round_up
from evoagent.models.engines.packed.tickets import Ticket
from evoagent.models.engines.scoring_text import ScoringIds, scoring_ids, to_loss
from evoagent.models.requests import Loss, LossRequest

_LOGIT_ROWS = 128  # tokens whose logits are held at a time: 128 of 152k entries are 78 MB in float32
_WIDTH = 64  # passes are padded to this, for fewer distinct shapes


@dataclass(slots=True, eq=False)
class _Batch:
    ticket: Ticket
    requests: Sequence[LossRequest]
    outcomes: list[Loss | Exception | None]
    packs: deque[list[tuple[int, ScoringIds]]] = field(default_factory=deque)


class LossScorer:
    """Scores the batches in `waiting`, a pass at every `step`."""

    def __init__(self, model: PackedModel, tokenizer: Any, *, batch_tokens: int, max_length: int) -> None:
        self.waiting: deque[tuple[Ticket, Sequence[LossRequest]]] = deque()
        self._model = model
        self._tokenizer = tokenizer
        self._batch_tokens = batch_tokens
        self._max_length = max_length
        self._batch: _Batch | None = None

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.waiting or self._batch)

    def step(self) -> None:
        """Score one pack of sequences."""
        if self._batch is None:
            self._batch = self._open(*self.waiting.popleft())
        batch = self._batch
        if batch.packs and not batch.ticket.cancelled:
            pack = batch.packs.popleft()
            for (index, scoring), losses in zip(pack, self._score([s.ids for _, s in pack]), strict=True):
                batch.outcomes[index] = self._loss(scoring, losses, batch.requests[index])
        if not batch.packs or batch.ticket.cancelled:
            self._batch = None
            batch.ticket.resolve(batch.outcomes)

    def abandon(self) -> list[Ticket]:
        """Forget everything, and return the tickets of what was waiting or running."""
        tickets = [ticket for ticket, _ in self.waiting] + ([self._batch.ticket] if self._batch else [])
        self.waiting.clear()
        self._batch = None
        return tickets

    def _open(self, ticket: Ticket, requests: Sequence[LossRequest]) -> _Batch:
        """Tokenise a batch and fill packs of at most `batch_tokens`, longest sequences first."""
        batch = _Batch(ticket, requests, [None] * len(requests))
        sequences: list[tuple[int, ScoringIds]] = []
        for index, request in enumerate(requests):
            try:
                scoring = scoring_ids(self._tokenizer, request)
                if len(scoring.ids) > self._max_length:
                    raise RequestError(f"the text has {len(scoring.ids)} tokens; expected at most {self._max_length}")
                if scoring.target or scoring.context:
                    sequences.append((index, scoring))
                else:
                    batch.outcomes[index] = to_loss(scoring, [], per_token=request.per_token)
            except Exception as error:
                batch.outcomes[index] = error
        room = 0
        for index, scoring in sorted(sequences, key=lambda item: -len(item[1].ids)):
            size = len(scoring.ids)
            if size > room:
                batch.packs.append([])
                room = max(self._batch_tokens, size)
            batch.packs[-1].append((index, scoring))
            room -= size
        return batch

    def _score(self, texts: list[list[int]]) -> list[list[float]]:
        """Nats of each token of each text; 0 at position 0, which has none."""
        chunks = [Chunk(ids) for ids in texts]
        width = round_up(sum(map(len, texts)), _WIDTH)
        if self._model.device.type != "cpu":
            width = max(width, self._batch_tokens)  # elsewhere a row's bits depend on the number of rows
        plan = Plan((), chunks, 0, width, None, self._model.device)
        hidden = self._model.forward(plan)
        places: list[int] = []
        targets: list[int] = []
        for ids, offset in zip(texts, plan.offsets, strict=True):
            places += range(offset, offset + len(ids) - 1)
            targets += ids[1:]
        nats = self._nats(hidden, places, targets)
        scored, start = [], 0
        for ids in texts:
            scored.append([0.0, *nats[start : start + len(ids) - 1]])
            start += len(ids) - 1
        return scored

    def _nats(self, hidden: Tensor, places: list[int], targets: list[int]) -> list[float]:
        nats: list[float] = []
        for start in range(0, len(places), _LOGIT_ROWS):
            rows = places[start : start + _LOGIT_ROWS]
            wanted = torch.tensor(targets[start : start + len(rows)], device=hidden.device)
            logits = self._model.logits(hidden, rows)[: len(rows)].float()
            nats += (-torch.log_softmax(logits, dim=-1).gather(1, wanted[:, None])[:, 0]).tolist()
        return nats

    def _loss(self, scoring: ScoringIds, losses: list[float], request: LossRequest) -> Loss | Exception:
        try:
            return to_loss(scoring, losses, per_token=request.per_token)
        except RequestError as error:
            return error

"""Continuous batching: the decoding loop, its slots, and the cache of prompt prefixes.

One pass computes the next token of every sequence that is being generated and some chunks of prompts beside them. A
finished sequence's slot is taken by the next request at once. Chunks are cut at multiples of 64 tokens of the prompt,
whatever is cached and whatever else is in the pass, so the same request always takes the same steps.

Imports torch: import this module only where a model is loaded.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from evoagent.errors import RequestError
from evoagent.models.engines.packed.decoder import Chunk, KVStore, PackedModel, Plan, Step
from evoagent.models.engines.packed.invariance import round_up
from evoagent.models.engines.packed.sampling import sample, uniforms
from evoagent.models.engines.packed.tickets import Ticket
from evoagent.models.engines.scoring_text import prompt_ids
from evoagent.models.requests import Completion, GenerateRequest

BLOCK = 64
"""Tokens of a prompt chunk, and of an entry of the prefix cache."""


class PrefixCache:
    """Keys and values of prompt blocks, by the hash of all tokens up to their end; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        """Hold at most `limit` bytes."""
        self._limit = limit
        self._blocks: OrderedDict[bytes, Tensor] = OrderedDict()
        self._size = 0

    def __contains__(self, key: bytes) -> bool:
        return key in self._blocks

    def get(self, key: bytes) -> Tensor | None:
        """The block under `key`, if it is still held."""
        if key in self._blocks:
            self._blocks.move_to_end(key)
        return self._blocks.get(key)

    def put(self, key: bytes, read: Callable[[], Tensor]) -> None:
        """Hold what `read` gives, unless it is held already or the cache is off."""
        if not self._limit or key in self._blocks:
            return
        block = read()
        self._blocks[key] = block
        self._size += block.nbytes
        while self._size > self._limit:
            self._size -= self._blocks.popitem(last=False)[1].nbytes


def block_keys(ids: Sequence[int]) -> list[bytes]:
    """A key for each whole block of `ids`: a hash of all tokens up to the block's end."""
    keys, digest = [], b""
    for end in range(BLOCK, len(ids) + 1, BLOCK):
        block = np.asarray(ids[end - BLOCK : end], dtype=np.int64).tobytes()
        digest = hashlib.blake2b(digest + block, digest_size=16).digest()
        keys.append(digest)
    return keys


@dataclass(slots=True, eq=False)
class Running:
    """A request in a slot.

    Attributes:
        filled: tokens of the prompt whose keys and values are in the slot.
        out: tokens generated so far.
    """

    ticket: Ticket
    request: GenerateRequest
    slot: int
    ids: list[int]
    keys: list[bytes]
    random: np.random.Generator
    filled: int = 0
    out: list[int] = field(default_factory=list)

    @property
    def prefilled(self) -> bool:
        """Whether the whole prompt is in the slot."""
        return self.filled == len(self.ids)


class Decoder:
    """Generates for the requests in `waiting`, a token each at every `step`."""

    def __init__(
        self,
        model: PackedModel,
        tokenizer: Any,
        *,
        slots: int,
        prefill_tokens: int,
        prefix_cache_bytes: int,
        end_ids: frozenset[int],
        max_length: int,
    ) -> None:
        self.waiting: deque[tuple[Ticket, GenerateRequest]] = deque()
        self._model = model
        self._tokenizer = tokenizer
        self._prefill_tokens = prefill_tokens
        self._end_ids = end_ids
        self._max_length = max_length
        self._store = KVStore(model.shape, round_up(slots))
        self._prefixes = PrefixCache(prefix_cache_bytes)
        self._free = list(range(slots))
        self._running: list[Running] = []
        # Elsewhere a row's bits depend on the number of rows: always the same one, and prompts apart.
        self._mixed = model.device.type == "cpu"

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.waiting or self._running)

    def step(self) -> None:
        """Advance every running sequence by a token, and prompts by some chunks."""
        for sequence in [s for s in self._running if s.ticket.cancelled]:
            self._release(sequence)
        self._admit()
        chunks = self._chunks()
        decoding = [s for s in self._running if s.prefilled and s.out]
        if self._mixed:
            self._pass(decoding, chunks)
        else:
            self._pass(decoding, [])
            self._pass([], chunks)
        if not self.busy:
            self._store.clear()

    def abandon(self) -> list[Ticket]:
        """Forget everything, and return the tickets of what was waiting or running."""
        tickets = [ticket for ticket, _ in self.waiting] + [s.ticket for s in self._running]
        self.waiting.clear()
        for sequence in list(self._running):
            self._release(sequence)
        return tickets

    def _admit(self) -> None:
        while self._free and self.waiting:
            ticket, request = self.waiting.popleft()
            if ticket.cancelled:
                continue
            try:
                ids = self._encode(request)
            except Exception as error:
                ticket.resolve(error)
                continue
            # The lowest slot: lanes are computed up to the highest one in use.
            slot = min(self._free)
            self._free.remove(slot)
            self._running.append(Running(ticket, request, slot, ids, block_keys(ids), uniforms(request.seed)))

    def _encode(self, request: GenerateRequest) -> list[int]:
        ids = prompt_ids(self._tokenizer, request)
        if len(ids) >= self._max_length:
            raise RequestError(
                f"the prompt has {len(ids)} tokens; expected fewer than the {self._max_length} that the model takes"
            )
        return ids

    def _chunks(self) -> list[tuple[Running, Chunk]]:
        """Take what is cached, and choose the chunks of prompts that the next pass computes."""
        chunks: list[tuple[Running, Chunk]] = []
        scheduled: set[bytes] = set()
        room = self._prefill_tokens
        for sequence in self._running:
            planned = sequence.filled
            while planned < len(sequence.ids):
                block = planned // BLOCK
                key = sequence.keys[block] if block < len(sequence.keys) else None
                # The last token is always computed: its logits are needed.
                if key is not None and planned + BLOCK < len(sequence.ids):
                    held = self._prefixes.get(key) if planned == sequence.filled else None
                    if held is not None:
                        self._store.reserve(planned + BLOCK)
                        self._store.write(sequence.slot, planned, held)
                        planned = sequence.filled = planned + BLOCK
                        continue
                    if key in scheduled or key in self._prefixes:
                        break  # another sequence computes it in this pass: copy it in the next
                    scheduled.add(key)
                chunk = Chunk(sequence.ids[planned : planned + BLOCK], planned, sequence.slot)
                if chunk.width > room:
                    return chunks
                chunks.append((sequence, chunk))
                room -= chunk.width
                planned += len(chunk.ids)
        return chunks

    def _pass(self, decoding: list[Running], chunks: list[tuple[Running, Chunk]]) -> None:
        if not decoding and not chunks:
            return
        steps = [Step(s.slot, s.out[-1], len(s.ids) + len(s.out) - 1) for s in decoding]
        lanes = 0
        if steps:
            lanes = round_up(max(step.slot for step in steps) + 1) if self._mixed else self._store.slots
        width = lanes + sum(chunk.width for _, chunk in chunks)
        if chunks and not self._mixed:
            width = lanes + self._prefill_tokens
        longest = max([step.position + 1 for step in steps] + [chunk.start + chunk.width for _, chunk in chunks])
        self._store.reserve(round_up(longest, BLOCK))
        plan = Plan(steps, [chunk for _, chunk in chunks], lanes, round_up(width), self._store, self._model.device)
        hidden = self._model.forward(plan)
        rows, places = list(decoding), [step.slot for step in steps]
        for (sequence, chunk), offset in zip(chunks, plan.offsets, strict=True):
            sequence.filled += len(chunk.ids)
            if len(chunk.ids) == BLOCK:
                self._remember(sequence, chunk.start)
            if sequence.prefilled:
                rows.append(sequence)
                places.append(offset + len(chunk.ids) - 1)
        if rows:
            self._draw(rows, self._model.logits(hidden, places))

    def _remember(self, sequence: Running, start: int) -> None:
        key, slot = sequence.keys[start // BLOCK], sequence.slot
        self._prefixes.put(key, lambda: self._store.read(slot, start, start + BLOCK))

    def _draw(self, rows: list[Running], logits: Tensor) -> None:
        samplings = [s.request.sampling for s in rows]
        draws = [s.random.random() if s.request.sampling.temperature > 0 else 0.0 for s in rows]
        tokens = sample(logits, [s.temperature for s in samplings], [s.top_p for s in samplings], draws)
        for sequence, token in zip(rows, tokens, strict=True):
            if token is None:
                self._store.wipe(sequence.slot)
                sequence.ticket.resolve(RequestError("the model's output is not finite: expected logits; try float32"))
                self._release(sequence)
            else:
                self._take(sequence, token)

    def _take(self, sequence: Running, token: int) -> None:
        """Add a token, and finish the sequence if it is the last."""
        sequence.out.append(token)
        sampling = sequence.request.sampling
        if token in self._end_ids:
            return self._finish(sequence, self._text(sequence.out[:-1]), "stop")
        if sampling.stop:
            # A character is at most four tokens, so this window holds every stop string that could end here.
            window = 4 * max(map(len, sampling.stop)) + 4
            tail = self._text(sequence.out[-window:])
            if any(stop in tail for stop in sampling.stop):
                text = self._text(sequence.out)
                cuts = [place for stop in sampling.stop if (place := text.find(stop)) >= 0]
                if cuts:
                    return self._finish(sequence, text[: min(cuts)], "stop")
        if len(sequence.out) >= min(sampling.max_tokens, self._max_length - len(sequence.ids)):
            self._finish(sequence, self._text(sequence.out), "length")
        return None

    def _text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _finish(self, sequence: Running, text: str, reason: str) -> None:
        sequence.ticket.resolve(Completion(text, reason, len(sequence.ids), len(sequence.out)))
        self._release(sequence)

    def _release(self, sequence: Running) -> None:
        self._running.remove(sequence)
        self._free.append(sequence.slot)

"""Forward passes over packed sequences: one row of tokens, each sequence attending to itself alone.

Design decisions:

- Packing instead of padded batches. Linear layers see one long row, so no work is spent on padding; attention is
  computed for each sequence by itself, in shapes that depend on that sequence only.
- Every number of rows is a multiple of 16 and attention is two plain batched products with a softmax between them.
  That makes a token's bits independent of what else is in the pass (see `invariance`); fused attention is not so on
  CPUs.
- The attention is plugged into the model through transformers' `AttentionInterface`. Models that do not go through
  it, or that need more than full causal attention, are refused when they are loaded, by a trial pass.

Imports torch: import this module only where a model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from evoagent.errors import EngineError
from evoagent.models.engines.packed.invariance import prepare, round_up

NAME = "evoagent-packed"
_QUERIES = 256  # rows of scores that are computed at a time
_UNSUPPORTED = ("softcap", "s_aux", "sliding_window", "position_bias")


class KVStore:
    """Keys and values of the sequences that are being generated.

    Each slot's tokens start at position 0, so what is unused lies to the right and is masked. Right-aligned slots
    of left-padded batches would move a sequence's tokens with its neighbours' lengths, and with them its bits.
    """

    def __init__(self, shape: ModelShape, slots: int) -> None:
        self._shape = shape
        self.slots = slots
        self._data = shape.new_store(slots, 0)

    @property
    def capacity(self) -> int:
        """Tokens that a slot has room for."""
        return self._data.shape[4]

    def reserve(self, length: int) -> None:
        """Make room for `length` tokens a slot."""
        if length > self.capacity:
            data = self._shape.new_store(self.slots, round_up(length, 256))
            data[:, :, :, :, : self.capacity] = self._data
            self._data = data

    def clear(self) -> None:
        """Give the memory back. No slot may be in use."""
        self._data = self._shape.new_store(self.slots, 0)

    def layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, each (slots, heads, capacity, head dimension)."""
        return self._data[index, 0], self._data[index, 1]

    def read(self, slot: int, start: int, end: int) -> Tensor:
        """A copy of a slot's tokens from `start` to `end`, for `write`."""
        return self._data[:, :, slot, :, start:end].clone()

    def write(self, slot: int, start: int, block: Tensor) -> None:
        """Put a block that `read` gave into a slot."""
        self._data[:, :, slot, :, start : start + block.shape[3]] = block

    def wipe(self, slot: int) -> None:
        """Overwrite a slot with zeros: a masked NaN would still spread."""
        self._data[:, :, slot] = 0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What a key-value store must know of a model."""

    layers: int
    heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    def new_store(self, slots: int, length: int) -> Tensor:
        """Zeros of shape (layers, 2, slots, heads, length, head dimension)."""
        shape = (self.layers, 2, slots, self.heads, length, self.head_dim)
        return torch.zeros(shape, dtype=self.dtype, device=self.device)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one sequence from position `start` on.

    Attributes:
        slot: where keys and values go, and where those of the tokens before `start` are; None if the chunk is a
            whole sequence of which nothing is kept.
    """

    ids: Sequence[int]
    start: int = 0
    slot: int | None = None

    @property
    def width(self) -> int:
        """Tokens that attention computes: padded."""
        return round_up(len(self.ids))

    @property
    def span(self) -> int:
        """Tokens that the chunk takes of a pass: padding is kept in slots, so that what it holds is finite."""
        return len(self.ids) if self.slot is None else self.width


@dataclass(frozen=True, slots=True)
class Step:
    """The next token of the sequence in `slot`, at `position`."""

    slot: int
    token: int
    position: int


@dataclass(slots=True)
class Plan:
    """What one forward pass computes: a token for each of `lanes` slots, then the chunks, then padding."""

    steps: Sequence[Step]
    chunks: Sequence[Chunk]
    lanes: int
    width: int
    store: KVStore | None
    device: torch.device
    offsets: list[int] = field(init=False)
    ids: Tensor = field(init=False)
    positions: Tensor = field(init=False)
    slots: Tensor = field(init=False)
    slot_positions: Tensor = field(init=False)
    length: int = field(init=False, default=0)
    hidden_lanes: Tensor = field(init=False)
    hidden_chunks: dict[tuple[int, int], Tensor] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        ids, positions = [0] * self.width, [0] * self.width
        for step in self.steps:
            ids[step.slot], positions[step.slot] = step.token, step.position
        self.offsets, offset = [], self.lanes
        for chunk in self.chunks:
            self.offsets.append(offset)
            ids[offset : offset + len(chunk.ids)] = chunk.ids
            positions[offset : offset + chunk.span] = range(chunk.start, chunk.start + chunk.span)
            offset += chunk.span
        if offset > self.width:
            raise ValueError(f"a pass of {offset} tokens does not fit a width of {self.width}")
        self.ids = torch.tensor(ids, device=self.device)
        self.positions = torch.tensor(positions, device=self.device)
        if self.steps:
            self.slots = torch.tensor([step.slot for step in self.steps], device=self.device)
            self.slot_positions = torch.tensor([step.position for step in self.steps], device=self.device)
            self.length = round_up(max(step.position for step in self.steps) + 1, 64)
            places = torch.arange(self.length, device=self.device)
            self.hidden_lanes = places > self.positions[: self.lanes, None]

    def hidden_before(self, start: int, rows: int) -> Tensor:
        """Which of `start` + `rows` tokens are hidden from `rows` queries that begin at `start`."""
        key = (start, rows)
        if key not in self.hidden_chunks:
            places = torch.arange(start + rows, device=self.device)
            self.hidden_chunks[key] = places > places[start:, None]
        return self.hidden_chunks[key]


class PackedModel:
    """A causal language model of transformers that computes packed passes."""

    def __init__(self, model: Any) -> None:
        """Take over `model`, whose attention and layers are replaced.

        Raises:
            EngineError: the model does not fit packed passes.
        """
        _refuse_windows(model.config)
        self._model = model
        self.config = model.config.get_text_config()
        self.device: torch.device = model.device
        heads = getattr(self.config, "num_key_value_heads", None) or self.config.num_attention_heads
        head_dim = getattr(self.config, "head_dim", None) or self.config.hidden_size // self.config.num_attention_heads
        self.shape = ModelShape(self.config.num_hidden_layers, heads, head_dim, model.dtype, self.device)
        prepare(model)
        self._body = getattr(model, model.base_model_prefix)
        self._head = model.get_output_embeddings()
        self._check(model)

    @torch.inference_mode()
    def forward(self, plan: Plan) -> Tensor:
        """Last hidden states, shape (width, hidden size)."""
        output = self._body(
            input_ids=plan.ids[None], position_ids=plan.positions[None], use_cache=False, packed_plan=plan
        )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden

    @torch.inference_mode()
    def logits(self, hidden: Tensor, places: Sequence[int]) -> Tensor:
        """Logits of the tokens after `places`, shape (len(places) rounded up to 16, vocabulary)."""
        index = list(places) + [places[0]] * (round_up(len(places)) - len(places))
        logits: Tensor = self._head(hidden[torch.tensor(index, device=self.device)])
        config = self.config
        if divisor := getattr(config, "logits_scaling", None):
            logits = logits / divisor
        if factor := getattr(config, "logit_scale", None):
            logits = logits * factor
        if cap := getattr(config, "final_logit_softcapping", None):
            logits = torch.tanh(logits / cap) * cap
        return logits

    def _check(self, model: Any) -> None:
        """Put the packed attention in, and compare a trial pass with the model's own."""
        from transformers import AttentionInterface

        ids = [7 + 11 * i % (self.config.vocab_size - 7) for i in range(40)]
        with torch.inference_mode():
            tokens = torch.tensor([ids], device=self.device)
            expected = model(input_ids=tokens, use_cache=False).logits[0, -2:].float()
        AttentionInterface.register(NAME, packed_attention)
        model.set_attn_implementation(NAME)
        if model.config._attn_implementation != NAME:
            raise EngineError(_misfit(model, "its attention cannot be replaced"))
        try:
            found = self._trial(ids)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
            raise EngineError(_misfit(model, f"a packed pass fails ({type(error).__name__}: {error})")) from error
        difference = float((found - expected).norm() / expected.norm())
        limit = 1e-3 if self.shape.dtype == torch.float32 else 0.1
        if not difference < limit:
            raise EngineError(_misfit(model, f"packed logits differ by {difference:.2g}, more than {limit:g}"))

    def _trial(self, ids: list[int]) -> Tensor:
        """Logits after the last two of 40 tokens, by a prefill beside another sequence and two decoding steps."""
        store = KVStore(self.shape, 16)
        store.reserve(64)
        chunks = [Chunk(ids[20:], 0, 1), Chunk(ids[:16], 0, 5), Chunk(ids[16:38], 16, 5)]
        self.forward(Plan((), chunks, 0, sum(chunk.width for chunk in chunks), store, self.device))
        rows = []
        for position in (38, 39):
            steps = [Step(1, 3, position), Step(5, ids[position], position)]
            hidden = self.forward(Plan(steps, (), 16, 16, store, self.device))
            rows.append(self.logits(hidden, [5])[0].float())
        return torch.stack(rows)


def packed_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    packed_plan: Plan | None = None,
    **extra: Any,
) -> tuple[Tensor, None]:
    """Attention of a packed pass, in the signature of transformers' `AttentionInterface`.

    Args:
        query, key, value: shape (1, heads, width, head dimension); key and value may have fewer heads.
    """
    if packed_plan is None:
        raise EngineError("the model does not hand its arguments on to its attention")
    for name in _UNSUPPORTED:
        if extra.get(name) is not None:
            raise EngineError(f"the model's attention needs {name}, which only `engine: vllm` has")
    plan, scale = packed_plan, scaling if scaling is not None else query.shape[-1] ** -0.5
    heads, (kv_heads, width, dim) = query.shape[1], key.shape[1:]
    group = heads // kv_heads
    queries, keys, values = query[0].view(kv_heads, group, width, dim), key[0], value[0]
    output = query.new_zeros(width, heads, dim)
    if plan.store is not None:
        store_keys, store_values = plan.store.layer(module.layer_idx)
    if plan.steps:
        lanes = plan.lanes
        store_keys[plan.slots, :, plan.slot_positions] = keys[:, plan.slots].transpose(0, 1)
        store_values[plan.slots, :, plan.slot_positions] = values[:, plan.slots].transpose(0, 1)
        attended = _attend(
            queries[:, :, :lanes].permute(2, 0, 1, 3).reshape(lanes * kv_heads, group, dim),
            store_keys.flatten(0, 1)[: lanes * kv_heads, : plan.length],
            store_values.flatten(0, 1)[: lanes * kv_heads, : plan.length],
            plan.hidden_lanes.repeat_interleave(kv_heads, dim=0)[:, None],
            scale,
        )
        output[:lanes] = attended.reshape(lanes, heads, dim)
    for chunk, offset in zip(plan.chunks, plan.offsets, strict=True):
        if chunk.slot is not None:
            end = chunk.start + chunk.width
            store_keys[chunk.slot, :, chunk.start : end] = keys[:, offset : offset + chunk.width]
            store_values[chunk.slot, :, chunk.start : end] = values[:, offset : offset + chunk.width]
    for chunk, offset in zip(plan.chunks, plan.offsets, strict=True):
        here = slice(offset, offset + chunk.span)
        own = _padded(queries[:, :, here], chunk.width)
        if chunk.slot is None:
            seen_keys, seen_values = _padded(keys[:, here], chunk.width), _padded(values[:, here], chunk.width)
        else:
            seen_keys, seen_values = store_keys[chunk.slot], store_values[chunk.slot]
        for first in range(0, chunk.width, _QUERIES):
            rows = min(_QUERIES, chunk.width - first)
            start, end = chunk.start + first, chunk.start + first + rows
            attended = _attend(
                own[:, :, first : first + rows].reshape(kv_heads, group * rows, dim),
                seen_keys[:, :end],
                seen_values[:, :end],
                plan.hidden_before(start, rows).repeat(group, 1),
                scale,
            )
            kept = min(rows, chunk.span - first)
            output[offset + first : offset + first + kept] = attended.view(heads, rows, dim)[:, :kept].transpose(0, 1)
    return output[None], None


def _padded(tokens: Tensor, width: int) -> Tensor:
    """`tokens`, shape (..., tokens, dimension), with zeros after the last token up to `width` of them."""
    missing = width - tokens.shape[-2]
    return torch.nn.functional.pad(tokens, (0, 0, 0, missing)) if missing else tokens


def _attend(queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor, scale: float) -> Tensor:
    """Softmax attention with the softmax in float32.

    Args:
        queries: shape (batch, rows, dimension).
        keys, values: shape (batch, length, dimension).
        hidden: True where a query must not look; broadcasts to (batch, rows, length).
    """
    # Keys first: with few rows the other order copies the keys.
    scores = torch.bmm(keys, queries.transpose(1, 2)).transpose(1, 2).contiguous().float() * scale
    weights = torch.softmax(scores.masked_fill_(hidden, -torch.inf), dim=-1)
    return torch.bmm(weights.to(values.dtype), values)


def _refuse_windows(config: Any) -> None:
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    window = getattr(text, "sliding_window", None)
    windowed = window is not None and getattr(text, "use_sliding_window", True)
    if kinds != {"full_attention"} or (windowed and not getattr(text, "layer_types", None)):
        found = f"layers of {', '.join(sorted(kinds))}" + (f", a sliding window of {window}" if windowed else "")
        raise EngineError(
            f"the transformers engine expects full attention in every layer; {text.model_type} has {found}: "
            "use `engine: vllm`"
        )


def _misfit(model: Any, why: str) -> str:
    return f"{type(model).__name__} does not fit the transformers engine: {why}; use `engine: vllm`"

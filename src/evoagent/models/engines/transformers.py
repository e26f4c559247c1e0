"""The `transformers` engine: any causal language model with full attention, on a CPU or a GPU.

On a CPU an answer does not depend on what else is in the batch, bit by bit: a run that was killed and resumed gives
the rows of one that was not. `packed`, `slots` and `invariance` say how. On a GPU shapes are kept fixed to the same
end, but its kernels promise nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from evoagent.config.model import ModelConfig, Strict
from evoagent.errors import EngineError, RequestError
from evoagent.models.engines.base import Engine, Lane
from evoagent.models.engines.device import choose_device, choose_dtype
from evoagent.models.engines.gather import gather_each
from evoagent.models.engines.packed.threads import LOADING, wait_passively
from evoagent.models.engines.packed.worker import Job, Worker
from evoagent.models.engines.scoring_text import PLACEHOLDER, render_chat
from evoagent.models.requests import Completion, GenerateRequest, Loss, LossRequest

if TYPE_CHECKING:
    from evoagent.models.sources.resolve import ResolvedModel


class TransformersOptions(Strict):
    """Options of the `transformers` engine.

    Attributes:
        device: where it runs; by default on a GPU where there is one.
        slots: sequences generated at a time; by default 32 on a CPU and 64 on a GPU.
        prefill_tokens: tokens of prompts in a pass beside the sequences; by default 256 on a CPU and 2048 on a GPU.
        prefix_cache_mib: memory for the beginnings of prompts that other prompts share; 0 turns it off.
        loss_batch_tokens: tokens in a pass that scores.
        threads: CPU threads; by default as torch chooses.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    slots: int | None = Field(None, ge=1, le=1024)
    prefill_tokens: int | None = Field(None, ge=64)
    prefix_cache_mib: int = Field(256, ge=0)
    loss_batch_tokens: int = Field(1024, ge=64)
    threads: int | None = Field(None, ge=1)


class TransformersEngine(Engine):
    """A model of transformers with a decoding loop of its own; one worker thread does all passes."""

    capabilities = frozenset({"generate", "loss"})

    def __init__(self, model: ModelConfig, source: ResolvedModel, options: TransformersOptions) -> None:
        wait_passively()
        self._source = source
        self._options = options
        self.device = choose_device(options.device)
        self.dtype = choose_dtype(model.dtype, self.device)
        self.slots = options.slots or (32 if self.device == "cpu" else 64)
        self.identity = f"{source.name}@{source.revision or 'local'}:{self.dtype}:transformers"
        self.parameters = source.parameters
        self.licence = source.licence
        self.lanes = {"generate": Lane(batch=1, parallel=4 * self.slots), "loss": Lane(batch=64, parallel=1)}
        self._worker: Worker | None = None

    async def start(self) -> None:
        """Load the model in the worker thread.

        Raises:
            EngineError: the model cannot be loaded, or needs more than this engine has.
        """
        self._worker = Worker(self._load, self.identity)
        await self._worker.started()

    async def close(self) -> None:
        """End the worker thread and free the model; what is in flight fails with an `EngineError`."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await asyncio.shield(asyncio.to_thread(worker.stop))

    async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
        """Complete each prompt."""
        return await gather_each(requests, self._complete)

    async def loss(self, requests: Sequence[LossRequest]) -> list[Loss | Exception]:
        """Score each target in packed passes."""
        outcomes: list[Loss | Exception] = await self._running().do("loss", tuple(requests))
        for outcome in outcomes:
            if isinstance(outcome, EngineError):
                raise outcome
        return outcomes

    async def _complete(self, request: GenerateRequest) -> Completion:
        completion: Completion = await self._running().do("generate", request)
        return completion

    def _running(self) -> Worker:
        if self._worker is None:
            raise EngineError(f"the transformers engine of {self._source.name} is not running: start it first")
        return self._worker

    def _load(self) -> dict[str, Job]:
        with LOADING:
            return self._load_alone()

    def _load_alone(self) -> dict[str, Job]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        from evoagent.models.engines.packed.decoder import PackedModel
        from evoagent.models.engines.packed.losses import LossScorer
        from evoagent.models.engines.packed.slots import Decoder

        disable_progress_bar()
        options, source = self._options, self._source
        if options.threads:
            torch.set_num_threads(options.threads)
        revision = {} if source.local else {"revision": source.revision}
        # Without an answer, transformers asks at the terminal whether to run the code that comes with a model.
        own = {"trust_remote_code": False, **revision}
        try:
            tokenizer = AutoTokenizer.from_pretrained(source.path, **own)
            loaded = AutoModelForCausalLM.from_pretrained(source.path, dtype=getattr(torch, self.dtype), **own)
        except ValueError as error:
            if "trust_remote_code" not in str(error):
                raise
            raise EngineError(
                f"{source.name} brings code of its own, which engine `transformers` does not run; engine `vllm` does, "
                "with options: {trust_remote_code: true}"
            ) from error
        self.parameters = source.parameters or loaded.num_parameters()
        model = PackedModel(loaded.eval().to(self.device))
        max_length = int(getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length)
        decoder = Decoder(
            model,
            tokenizer,
            slots=self.slots,
            prefill_tokens=options.prefill_tokens or (256 if self.device == "cpu" else 2048),
            prefix_cache_bytes=options.prefix_cache_mib << 20,
            end_ids=end_ids(tokenizer, loaded),
            max_length=max_length,
        )
        scorer = LossScorer(model, tokenizer, batch_tokens=options.loss_batch_tokens, max_length=max_length)
        return {"generate": decoder, "loss": scorer}


def end_ids(tokenizer: Any, model: Any) -> frozenset[int]:
    """The tokens that end an answer: those that model and tokenizer name, and what ends a turn in the template."""
    ids: set[int] = set()
    for found in (tokenizer.eos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id):
        ids.update(found if isinstance(found, list) else [] if found is None else [found])
    if getattr(tokenizer, "chat_template", None):
        with contextlib.suppress(RequestError):
            turns = (("user", "-"), ("assistant", PLACEHOLDER))
            after = render_chat(tokenizer, turns, reply=False).partition(PLACEHOLDER)[2]
            following = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"]
            if following and following[0] in tokenizer.added_tokens_decoder:
                ids.add(following[0])
    return frozenset(ids)

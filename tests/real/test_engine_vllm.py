"""The `vllm` engine with real weights, on whatever vLLM is installed (a CPU is enough)."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import pytest_asyncio

from evoagent.config.model import ModelConfig
from evoagent.errors import EngineError, RequestError
from evoagent.models.engines.vllm import VllmEngine, VllmOptions
from evoagent.models.requests import Completion, GenerateRequest, Loss, LossRequest, Sampling
from evoagent.models.sources.resolve import resolve

pytestmark = [pytest.mark.real, pytest.mark.vllm, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

NAME = "smollm2-135m-instruct"
PAIRS = (
    ("Name three primary colours.", "Red, yellow and blue."),
    ("What is the capital of France?\nAnswer in one word.", "Paris"),
    (
        "Write a haiku about the sea.",
        "Grey waves fold and fall,\nsalt wind carries the gulls home,\nthe tide keeps its time.",
    ),
    ("Übersetze: 水は冷たい。", "Das Wasser ist kalt. 🌊"),
)


def engine_of(dtype: Any, **options: Any) -> VllmEngine:
    model = ModelConfig(engine="vllm", model=NAME, dtype=dtype)
    return VllmEngine(model, resolve(NAME), VllmOptions(max_model_len=1024, kv_cache_gib=0.5, **options))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[VllmEngine]:
    before = dict(os.environ)
    engine = engine_of("float32")
    await engine.start()
    assert dict(os.environ) == before, "starting the engine changes the environment of later child processes"
    yield engine
    children = [child for child in psutil.Process().children(recursive=True) if "VLLM" in child.name()]
    assert children
    await engine.close()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


@functools.cache
def plain_model(dtype: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = resolve(NAME).path
    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()
    return AutoTokenizer.from_pretrained(path), model


def reference(dtype: str, context: str, target: str) -> tuple[float, int, float, int]:
    """Summed losses and counts of target and context, by transformers, one row, no batch."""
    import torch

    tokenizer, model = plain_model(dtype)
    ids = tokenizer(f"{context}\n{target}" if context else target, return_tensors="pt").input_ids
    boundary = len(tokenizer(context).input_ids) if context else 0
    with torch.no_grad():
        logprobs = model(ids).logits[0, :-1].float().log_softmax(-1)
    losses = -logprobs.gather(1, ids[0, 1:, None])[:, 0]
    head, tail = losses[: max(boundary - 1, 0)], losses[max(boundary - 1, 0) :]
    return tail.sum().item(), len(tail), head.sum().item(), len(head)


def agrees(loss: Any, dtype: str, context: str, target: str, tolerance: float) -> None:
    assert isinstance(loss, Loss)
    target_sum, target_tokens, context_sum, context_tokens = reference(dtype, context, target)
    assert (loss.target_tokens, loss.context_tokens) == (target_tokens, context_tokens)
    assert loss.target_sum == pytest.approx(target_sum, rel=tolerance)
    assert loss.context_sum == pytest.approx(context_sum, rel=tolerance)


async def test_the_same_seeds_give_the_same_texts_in_any_order(engine: VllmEngine) -> None:
    requests = [
        GenerateRequest(
            messages=(("user", f"Name {2 + i % 4} things that are round."),),
            sampling=Sampling(0.8, 0.95, 24),
            seed=2**62 + i,
        )
        for i in range(12)
    ]
    first = await engine.generate(requests)
    second = await asyncio.gather(*(engine.generate([request]) for request in reversed(requests)))
    assert all(isinstance(outcome, Completion) for outcome in first)
    texts = [outcome.text for outcome in first if isinstance(outcome, Completion)]
    assert texts == [row[0].text for row in reversed(second) if isinstance(row[0], Completion)]
    assert len(set(texts)) >= 10
    assert not any("<|im_" in text for text in texts)


async def test_seeded_prompts_that_do_not_fit_into_one_step_survive(engine: VllmEngine) -> None:
    # More tokens at once than a step takes: in pieces, such prompts crash vLLM's random generators on a CPU.
    requests = [
        GenerateRequest(text=f"{i} " + "and so on " * 150, sampling=Sampling(0.8, max_tokens=3), seed=i)
        for i in range(8)
    ]
    outcomes = await engine.generate(requests)
    assert all(isinstance(outcome, Completion) and outcome.prompt_tokens > 400 for outcome in outcomes)


async def test_stop_and_max_tokens_are_honoured(engine: VllmEngine) -> None:
    count = "1, 2, 3, 4, 5,"
    stopped, cut = await engine.generate(
        [
            GenerateRequest(text=count, sampling=Sampling(max_tokens=64, stop=(" 9",))),
            GenerateRequest(text=count, sampling=Sampling(max_tokens=7)),
        ]
    )
    assert isinstance(stopped, Completion)
    assert isinstance(cut, Completion)
    assert stopped.finish_reason == "stop"
    assert " 8," in stopped.text
    assert "9" not in stopped.text
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 7)


async def test_a_chat_is_answered_as_a_chat(engine: VllmEngine) -> None:
    chat = GenerateRequest(
        messages=(("system", "You answer in one word."), ("user", "What is the capital of France?")),
        sampling=Sampling(max_tokens=32),
    )
    (outcome,) = await engine.generate([chat])
    assert isinstance(outcome, Completion)
    assert "Paris" in outcome.text
    assert outcome.finish_reason == "stop"
    assert outcome.prompt_tokens > 15


async def test_a_prompt_that_is_too_long_fails_alone_with_both_figures(engine: VllmEngine) -> None:
    long, near, good, empty = await engine.generate(
        [
            GenerateRequest(text="word " * 3000, sampling=Sampling(max_tokens=4)),
            GenerateRequest(text="a" + " a" * 1019, sampling=Sampling(max_tokens=500)),
            GenerateRequest(text="word", sampling=Sampling(max_tokens=4)),
            GenerateRequest(),
        ]
    )
    assert isinstance(long, RequestError)
    assert "3001" in str(long)
    assert "1023" in str(long)
    assert isinstance(near, Completion)
    assert 1 <= near.completion_tokens <= 4
    assert isinstance(good, Completion)
    assert isinstance(empty, RequestError)
    (score,) = await engine.loss([LossRequest("word " * 3000)])
    assert isinstance(score, RequestError)
    assert "1023" in str(score)


async def test_losses_agree_with_transformers_in_float32(engine: VllmEngine) -> None:
    requests = [LossRequest(answer, question) for question, answer in PAIRS] + [LossRequest(a) for _, a in PAIRS]
    losses = await engine.loss(requests)
    again = await engine.loss(requests[:2])  # what the prefix cache holds by now must not shorten the answer
    for loss, request in zip(losses + again, requests + requests[:2], strict=True):
        agrees(loss, "float32", request.context, request.target, 1e-3)


async def test_what_cannot_be_scored_has_no_tokens(engine: VllmEngine) -> None:
    nothing, one, only_context, chat = await engine.loss(
        [
            LossRequest(""),
            LossRequest("a"),
            LossRequest("", "What is it?"),
            LossRequest("Yes.", "assistant", convention="chat", per_token=True),
        ]
    )
    assert isinstance(nothing, Loss)
    assert nothing.mean is None
    assert nothing.context_mean is None
    assert isinstance(one, Loss)
    assert one.mean is None
    assert isinstance(only_context, Loss)
    assert only_context.mean is None
    assert only_context.context_tokens == 3
    assert isinstance(chat, Loss)
    assert len(chat.tokens) == chat.target_tokens == 2
    assert chat.target_sum == pytest.approx(sum(chat.tokens))
    assert chat.context_tokens == 2  # "assistant" is two tokens, and stands in the template as well


async def test_bfloat16_is_close_and_a_dead_process_is_an_engine_error() -> None:
    engine = engine_of("auto")
    await engine.start()
    try:
        question, answer = PAIRS[0]
        (loss,) = await engine.loss([LossRequest(answer, question)])
        agrees(loss, "bfloat16", question, answer, 2e-2)

        endless = GenerateRequest(text="1, 2, 3, 4, 5,", sampling=Sampling(max_tokens=1000))
        flight = [asyncio.create_task(engine.generate([endless])) for _ in range(3)]
        await asyncio.sleep(1)
        core = [child for child in psutil.Process().children() if "EngineCore" in child.name()]
        start = time.monotonic()
        core[-1].kill()
        outcomes = await asyncio.gather(*flight, return_exceptions=True)
        assert time.monotonic() - start < 30
        assert all(isinstance(outcome, EngineError) and "memory" in str(outcome) for outcome in outcomes)
        with pytest.raises(EngineError):
            await engine.generate([endless])
    finally:
        await engine.close()


async def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Any) -> None:
    from types import SimpleNamespace

    source: Any = SimpleNamespace(
        name="nothing", path=tmp_path, revision=None, licence=None, kind="folder", parameters=None, local=True
    )
    engine = VllmEngine(ModelConfig(engine="vllm", model="nothing"), source, VllmOptions())
    with pytest.raises(EngineError, match="nothing"):
        await engine.start()
    await engine.close()

"""The `openai` engine against a real `vllm serve` with real weights, until that server is killed."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from evoagent.config.model import ModelConfig
from evoagent.errors import EngineError, RequestError, TransientError
from evoagent.models.engines.openai import OpenAIEngine, OpenAIOptions
from evoagent.models.engines.scoring_text import scoring_ids
from evoagent.models.requests import Completion, GenerateRequest, Loss, LossRequest, Sampling
from evoagent.models.sources.resolve import resolve

pytestmark = [pytest.mark.real, pytest.mark.vllm, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]

NAME = "smollm2-135m-instruct"
START_S = 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(resolve(NAME).path)]
    command += ["--served-model-name", NAME, "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += [
        "--max-model-len",
        "1024",
        "--enforce-eager",
        "--no-enable-chunked-prefill",
        "--kv-cache-memory-bytes",
        str(2**29),
    ]
    environment = os.environ | {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1", process
    finally:
        kill_tree(process)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.5)
    pytest.fail(f"vllm serve did not start: {log.read_text(errors='replace')[-3000:]}")


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.wait(30)


@pytest_asyncio.fixture(loop_scope="module")
async def engine(server: tuple[str, Any]) -> AsyncIterator[OpenAIEngine]:
    options = OpenAIOptions(base_url=server[0], loss="vllm-prompt-logprobs", concurrency=8, timeout_s=60)
    engine = OpenAIEngine(ModelConfig(engine="openai", model=NAME), resolve(NAME), options)
    await engine.start()
    yield engine
    await engine.close()


async def test_chats_and_texts_are_completed_side_by_side_and_seeds_repeat(engine: OpenAIEngine) -> None:
    chats = [
        GenerateRequest(
            messages=(("user", f"Name {2 + i % 4} things that are round."),), sampling=Sampling(0.8, 0.95, 24), seed=i
        )
        for i in range(16)
    ]
    first, second = await engine.generate(chats), await engine.generate(chats)
    assert all(isinstance(outcome, Completion) and outcome.completion_tokens > 0 for outcome in first)
    assert first == second

    stopped, cut = await engine.generate(
        [
            GenerateRequest(text="1, 2, 3, 4, 5,", sampling=Sampling(max_tokens=64, stop=(" 9",))),
            GenerateRequest(text="1, 2, 3, 4, 5,", sampling=Sampling(max_tokens=7)),
        ]
    )
    assert isinstance(stopped, Completion)
    assert stopped.finish_reason == "stop"
    assert stopped.text.endswith(" 8,")
    assert isinstance(cut, Completion)
    assert (cut.finish_reason, cut.completion_tokens) == ("length", 7)


@pytest.mark.parametrize("convention", ["raw", "chat"])
async def test_losses_agree_with_transformers(engine: OpenAIEngine, convention: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    request = LossRequest("Red, yellow and blue.", "Name three primary colours.", convention=convention)
    (loss,) = await engine.loss([request])
    path = resolve(NAME).path
    scoring = scoring_ids(AutoTokenizer.from_pretrained(path), request)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    ids = torch.tensor([scoring.ids])
    with torch.no_grad():
        logprobs = model(ids).logits[0, :-1].log_softmax(-1)
    losses = [0.0, *(-logprobs.gather(1, ids[0, 1:, None])[:, 0]).tolist()]
    assert isinstance(loss, Loss)
    assert (loss.target_tokens, loss.context_tokens) == (len(scoring.target), len(scoring.context))
    assert loss.target_sum == pytest.approx(sum(losses[i] for i in scoring.target), rel=1e-3)
    assert loss.context_sum == pytest.approx(sum(losses[i] for i in scoring.context), rel=1e-3)


async def test_echo_gives_the_same_loss(engine: OpenAIEngine, server: tuple[str, Any]) -> None:
    options = OpenAIOptions(base_url=server[0], loss="echo")
    echo = OpenAIEngine(ModelConfig(engine="openai", model=NAME), resolve(NAME), options)
    await echo.start()
    request = LossRequest("Red, yellow and blue.", "Name three primary colours.")
    try:
        (one,), (other,) = await engine.loss([request]), await echo.loss([request])
    finally:
        await echo.close()
    assert isinstance(one, Loss)
    assert isinstance(other, Loss)
    assert (one.target_tokens, one.context_tokens) == (other.target_tokens, other.context_tokens)
    assert other.target_sum == pytest.approx(one.target_sum, rel=1e-4)
    assert other.context_sum == pytest.approx(one.context_sum, rel=1e-4)


async def test_too_long_a_prompt_fails_alone_and_an_unknown_model_stops_the_run(
    engine: OpenAIEngine, server: tuple[str, Any]
) -> None:
    long, good = await engine.generate(
        [
            GenerateRequest(text="word " * 3000, sampling=Sampling(max_tokens=4)),
            GenerateRequest(text="word", sampling=Sampling(max_tokens=4)),
        ]
    )
    assert isinstance(long, RequestError)
    assert "1024" in str(long)
    assert isinstance(good, Completion)

    model = ModelConfig(engine="openai", model="no-such-model")
    stranger = OpenAIEngine(model, resolve(NAME), OpenAIOptions(base_url=server[0]))
    await stranger.start()
    with pytest.raises(EngineError, match="no-such-model"):
        await stranger.generate([GenerateRequest(text="word")])
    await stranger.close()


async def test_a_server_killed_in_mid_flight_gives_transient_errors(
    engine: OpenAIEngine, server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    endless = GenerateRequest(text="1, 2, 3, 4, 5,", sampling=Sampling(max_tokens=1000))
    flight = asyncio.create_task(engine.generate([endless] * 12))
    await asyncio.sleep(1)
    assert not flight.done()
    start = time.monotonic()
    await asyncio.to_thread(kill_tree, server[1])
    outcomes = await flight + await engine.generate([endless])
    assert time.monotonic() - start < 30
    assert all(isinstance(outcome, TransientError) for outcome in outcomes)

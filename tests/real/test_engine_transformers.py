"""The transformers engine with a real model: the same bits whatever the batch, and the library's own results."""

import asyncio
import gc
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evoagent.config.model import ModelConfig
from evoagent.errors import EngineError, RequestError
from evoagent.ledger.database import Database
from evoagent.ledger.request_log import RequestLog
from evoagent.models.binding import RoleBinding
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.engines.transformers import TransformersEngine, TransformersOptions
from evoagent.models.requests import Completion, GenerateRequest, Loss, LossRequest, Sampling
from evoagent.models.roles import Models
from evoagent.models.sources.resolve import ResolvedModel, resolve

pytestmark = pytest.mark.real
FLOAT32 = pytest.mark.parametrize("engine", ["float32"], indirect=True)

SHOTS = tuple(
    turn
    for task, harder in [
        ("Name a fruit.", "Name three fruits that grow on trees and say in which season each is ripe."),
        ("Write a greeting.", "Write a greeting to a colleague who returns from a long journey, in two sentences."),
        ("Add 2 and 3.", "Add 2 and 3, multiply the sum by the number of days in a week, and show each step."),
    ]
    for turn in (("user", f"Make this task harder: {task}"), ("assistant", harder))
)
TOPICS = ["a river", "the moon", "bread", "a clock", "chess", "winter", "a letter", "the sea", "music", "a garden"]


def ask(text: str, **sampling: object) -> GenerateRequest:
    settings = Sampling(**{"temperature": 0.7, "top_p": 0.95, "max_tokens": 16, **sampling})
    return GenerateRequest(messages=(("user", text),), sampling=settings, seed=sum(map(ord, text)))


def few_shot(text: str, **sampling: object) -> GenerateRequest:
    request = ask(text, **sampling)
    return replace(request, messages=(*SHOTS, *request.messages))


def requests() -> list[GenerateRequest]:
    """Forty of very different lengths, half with a long common beginning, some greedy."""
    texts = [f"Describe {topic}" + " in plain words" * (3 * i) + "." for i, topic in enumerate(TOPICS)]
    return [
        *(ask(text, max_tokens=5 + i) for i, text in enumerate(texts)),
        *(few_shot(text) for text in texts),
        *(ask(text, temperature=0.0) for text in texts),
        *(few_shot(text, temperature=1.3, top_p=1.0, max_tokens=9) for text in texts),
    ]


def losses() -> list[LossRequest]:
    pairs = [
        (f"Describe {topic}." * (1 + i % 4), f"It is {topic}, of course. " * (1 + 3 * i))
        for i, topic in enumerate(TOPICS)
    ]
    return [
        *(LossRequest(target=answer, context=question, per_token=True) for question, answer in pairs),
        *(LossRequest(target=answer, per_token=True) for _, answer in pairs),
        *(LossRequest(target=answer, context=question, convention="chat") for question, answer in pairs[:4]),
    ]


@pytest.fixture(scope="module")
def source() -> ResolvedModel:
    return resolve("smollm2-135m-instruct")


def start(source: ResolvedModel, dtype: str, **options: object) -> TransformersEngine:
    config = ModelConfig.model_validate({"engine": "transformers", "model": source.name, "dtype": dtype})
    engine = TransformersEngine(config, source, TransformersOptions.model_validate(options))
    asyncio.run(engine.start())
    return engine


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def engine(request: pytest.FixtureRequest, source: ResolvedModel) -> Iterator[TransformersEngine]:
    engine = start(source, request.param)
    yield engine
    asyncio.run(engine.close())
    gc.collect()


@pytest.fixture(scope="module")
def reference(source: ResolvedModel) -> tuple[object, object]:
    """Tokenizer and model as the library computes them, in float32."""
    model = AutoModelForCausalLM.from_pretrained(source.path, dtype=torch.float32)
    return AutoTokenizer.from_pretrained(source.path), model.eval()


async def test_texts_do_not_depend_on_the_batch(engine: TransformersEngine) -> None:
    wanted = requests()
    together = await engine.generate(wanted)
    assert all(isinstance(result, Completion) for result in together)
    backwards = await engine.generate(wanted[::-1])  # and with the prefixes cached by now
    assert backwards[::-1] == together
    for index in (0, 9, 10, 19, 29, 33):
        assert await engine.generate([wanted[index]]) == [together[index]]


async def test_texts_do_not_depend_on_slots_or_prefix_cache(engine: TransformersEngine, source: ResolvedModel) -> None:
    wanted = requests()[5:35:2]
    together = await engine.generate(wanted)
    other = await asyncio.to_thread(start, source, engine.dtype, slots=5, prefix_cache_mib=0, prefill_tokens=64)
    try:
        assert await other.generate(wanted) == together
    finally:
        await other.close()


async def test_losses_do_not_depend_on_the_batch(engine: TransformersEngine) -> None:
    wanted = losses()
    together = await engine.loss(wanted)
    assert all(isinstance(result, Loss) for result in together)
    assert (await engine.loss(wanted[::-1]))[::-1] == together
    for index in (0, 9, 13, 19, 22):
        assert await engine.loss([wanted[index]]) == [together[index]]


async def test_bits_do_not_depend_on_mixing_verbs(engine: TransformersEngine) -> None:
    texts, scores = requests()[10:16], losses()[:6]
    apart = [await engine.generate(texts), await engine.loss(scores)]
    assert await asyncio.gather(engine.generate(texts), engine.loss(scores)) == apart


@FLOAT32
async def test_an_uneven_number_of_threads_changes_nothing(engine: TransformersEngine) -> None:
    threads = torch.get_num_threads()
    alone = await engine.loss(losses()[:3])
    torch.set_num_threads(5)
    try:
        assert (await engine.loss(losses()[:8]))[:3] == alone
    finally:
        torch.set_num_threads(threads)


@FLOAT32
async def test_greedy_texts_are_those_of_the_library(
    source: ResolvedModel, engine: TransformersEngine, reference: tuple[object, object]
) -> None:
    tokenizer, model = reference
    for request in [ask("What is bread made of?", temperature=0.0), few_shot("Name a river.", temperature=0.0)]:
        turns = [{"role": role, "content": content} for role, content in request.messages]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")
        output = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        [result] = await engine.generate([request])
        assert result.text == tokenizer.decode(output, skip_special_tokens=True)


@FLOAT32
async def test_losses_are_those_of_the_library(engine: TransformersEngine, reference: tuple[object, object]) -> None:
    tokenizer, model = reference
    for request, loss in zip(losses()[3:14:2], await engine.loss(losses()[3:14:2]), strict=True):
        joiner = request.joiner if request.context else ""
        ids = tokenizer(request.context + joiner + request.target, return_tensors="pt").input_ids
        boundary = max(1, len(tokenizer(request.context).input_ids)) if request.context else 1
        with torch.no_grad():
            nats = -torch.log_softmax(model(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
        assert loss.tokens == pytest.approx(nats[boundary - 1 :].tolist(), abs=1e-4)
        assert loss.mean == pytest.approx(float(nats[boundary - 1 :].mean()), abs=1e-4)
        if request.context:
            assert loss.context_mean == pytest.approx(float(nats[: boundary - 1].mean()), abs=1e-4)


@FLOAT32
@pytest.mark.parametrize(
    ("turns", "choices"),
    [
        ((("user", "Is the sun hot? Answer Yes or No."),), ("Yes", "No")),
        (
            (("system", "You grade."), *SHOTS[:2], ("user", "What is the capital of France?")),
            ("Paris", "The capital of France is Paris.", "Antananarivo", "Ulaanbaatar, Mongolia"),
        ),
    ],
)
async def test_choices_are_those_of_the_library(
    engine: TransformersEngine,
    reference: tuple[Any, Any],
    tmp_path: Path,
    turns: tuple[tuple[str, str], ...],
    choices: tuple[str, ...],
) -> None:
    tokenizer, model = reference
    chat = [{"role": role, "content": content} for role, content in turns]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    start = len(tokenizer(prompt, add_special_tokens=False).input_ids)
    sums = []
    for choice in choices:
        ids = tokenizer(prompt + choice, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            logs = torch.log_softmax(model(ids).logits[0, :-1].double(), -1).gather(1, ids[0, 1:, None])[:, 0]
        sums.append(logs[start - 1 :].sum())
    expected = torch.softmax(torch.stack(sums), 0).tolist()
    database = Database(tmp_path / "ledger.db")
    # Not `async with`, which would close the engine that other tests go on with.
    dispatcher = Dispatcher({"judge": RoleBinding(engine)}, RequestLog(database, "run"), database)
    try:
        choice = await Models(dispatcher).judge.choose(chat, choices)
        await dispatcher.flush()
    finally:
        database.close()
    assert list(choice.probabilities) == list(choices)
    assert list(choice.probabilities.values()) == pytest.approx(expected, abs=1e-4)
    assert sum(choice.probabilities.values()) == pytest.approx(1.0)
    assert choice.best == choices[expected.index(max(expected))]
    assert max(expected) < 0.9999, "nothing was compared"


async def test_ends_of_texts(engine: TransformersEngine) -> None:
    question = "Count from one to five in words, separated by commas."
    [whole] = await engine.generate([ask(question, temperature=0.0, max_tokens=40)])
    [short] = await engine.generate([ask(question, temperature=0.0, max_tokens=4)])
    assert (short.finish_reason, short.completion_tokens) == ("length", 4)
    assert whole.text.startswith(short.text)
    stop = whole.text[6:9]
    [stopped] = await engine.generate([ask(question, temperature=0.0, max_tokens=40, stop=(stop,))])
    assert stopped.text == whole.text[: whole.text.find(stop)]
    assert stopped.finish_reason == "stop"


async def test_what_is_too_long_fails_alone(engine: TransformersEngine) -> None:
    long, fine = ask("word " * 9000), ask("Name a fruit.")
    outcomes = await engine.generate([long, fine])
    assert isinstance(outcomes[0], RequestError)
    assert "8192" in str(outcomes[0])
    assert isinstance(outcomes[1], Completion)
    outcomes = await engine.loss([LossRequest(target="word " * 9000), LossRequest(target="A word.")])
    assert isinstance(outcomes[0], RequestError)
    assert isinstance(outcomes[1], Loss)


async def test_texts_without_a_scored_token(engine: TransformersEngine) -> None:
    [one, none] = await engine.loss([LossRequest(target="word"), LossRequest(target="")])
    assert one.mean is None
    assert none.mean is None


async def test_a_cancelled_request_makes_room(engine: TransformersEngine) -> None:
    endless = [ask(f"Tell a very long story about {topic}.", max_tokens=4000, temperature=1.5) for topic in TOPICS * 4]
    tasks = [asyncio.create_task(engine.generate([request])) for request in endless]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(60):
        [result] = await engine.generate([ask("Name a fruit.")])
    assert isinstance(result, Completion)


async def test_closing_fails_what_waits(source: ResolvedModel) -> None:
    engine = await asyncio.to_thread(start, source, "bfloat16")
    task = asyncio.create_task(engine.generate([ask("Tell a long story.", max_tokens=4000, temperature=1.5)]))
    await asyncio.sleep(0.3)
    await engine.close()
    with pytest.raises(EngineError, match="closed"):
        await task
    with pytest.raises(EngineError, match="start it first"):
        await engine.generate([ask("Name a fruit.")])
    await engine.close()


async def test_a_crash_in_the_thread_fails_what_waits(source: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from evoagent.models.engines.packed.decoder import PackedModel

    engine = await asyncio.to_thread(start, source, "bfloat16")

    def out_of_memory(*_: object) -> None:
        raise MemoryError("no room for the scores")

    monkeypatch.setattr(PackedModel, "forward", out_of_memory)
    outcomes = await asyncio.gather(
        *(engine.generate([ask(topic)]) for topic in TOPICS), engine.loss(losses()), return_exceptions=True
    )
    assert all(isinstance(outcome, EngineError) and "no room" in str(outcome) for outcome in outcomes)
    with pytest.raises(EngineError, match="no room"):
        await engine.generate([ask("Name a fruit.")])
    await engine.close()


async def test_a_folder_without_a_model_is_an_engine_error(source: ResolvedModel, tmp_path: object) -> None:
    with pytest.raises(EngineError, match="smollm2"):
        await asyncio.to_thread(start, replace(source, path=str(tmp_path)), "bfloat16")


async def test_a_model_with_code_of_its_own_is_refused_without_a_question(tmp_path: Path) -> None:
    shipped = Path(resolve("smollm2-135m-instruct").path)
    for file in shipped.glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    config = {"model_type": "strange", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text("raise SystemExit('it was run')")
    source = ResolvedModel("strange", str(tmp_path), "1", None, "causal-lm", 1, local=True)
    engine = TransformersEngine(ModelConfig(engine="transformers", model="strange"), source, TransformersOptions())
    with pytest.raises(EngineError, match="brings code of its own, which engine `transformers` does not run"):
        await engine.start()
    await engine.close()

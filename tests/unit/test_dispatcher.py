"""The dispatcher's promises: nothing is asked twice, nothing is lost, nothing hangs."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from evoagent.errors import EngineError, LedgerError, RequestError, TransientError, UserError
from evoagent.ledger.database import Database
from evoagent.ledger.request_log import RequestLog
from evoagent.models.binding import RoleBinding
from evoagent.models.concurrency import START, ElasticLane
from evoagent.models.dispatcher import Dispatcher, RetryPolicy
from evoagent.models.engine_calls import EngineCalls
from evoagent.models.engines.base import Lane
from evoagent.models.requests import (
    Choice,
    ChooseRequest,
    Completion,
    GenerateRequest,
    Loss,
    LossRequest,
    Sampling,
    Scope,
    request_key,
    request_seed,
)
from evoagent.models.roles import Models
from evoagent.testing import Script, ScriptedEngine

WARM = Sampling(temperature=0.7, max_tokens=16)
NO_WAIT = RetryPolicy(attempts=3, first=0.0)


class Recorder(ScriptedEngine):
    """Keeps every batch that reached it."""

    def __init__(self, script: Script | None = None, lane: Lane | None = None) -> None:
        super().__init__(script=script)
        self.batches: list[list[str]] = []
        if lane:
            self.lanes = dict.fromkeys(self.capabilities, lane)
        self.starts = 0
        self.closed = 0

    async def start(self) -> None:
        self.starts += 1

    async def close(self) -> None:
        self.closed += 1

    async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
        self.batches.append([request.messages[-1][1] for request in requests])
        return await super().generate(requests)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found = Database(tmp_path / "ledger.db")
    yield found
    found.close()


@pytest.fixture
def dispatch(database: Database) -> Callable[..., Dispatcher]:
    def make(engine: ScriptedEngine, sampling: Sampling = WARM, **options: object) -> Dispatcher:
        plain = RoleBinding(engine)
        roles = {"evolver": RoleBinding(engine, sampling), "scorer": plain, "embedder": plain}
        return Dispatcher(roles, RequestLog(database, "run"), database, **{"retry": NO_WAIT, **options})  # type: ignore[arg-type]

    return make


async def ask(dispatcher: Dispatcher, text: str, draw: str = "0") -> str:
    return (await Models(dispatcher, Scope(draw=draw)).evolver.generate(text)).text


async def test_waiting_requests_go_to_the_engine_together_longest_first(dispatch: Callable[..., Dispatcher]) -> None:
    engine = Recorder(lane=Lane(batch=3, parallel=1))
    async with dispatch(engine) as dispatcher:
        await asyncio.gather(*(ask(dispatcher, "x" * n) for n in (1, 5, 3, 2, 4)))
    assert engine.batches == [["xxxxx", "xxxx", "xxx"], ["xx", "x"]]


async def test_a_follow_up_does_not_wait_for_the_neighbours(dispatch: Callable[..., Dispatcher]) -> None:
    release = asyncio.Event()

    class Slow(Recorder):
        async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
            if requests[0].messages[-1][1] == "slow":
                await release.wait()
            return await super().generate(requests)

    engine = Slow(lane=Lane(batch=1, parallel=2))
    async with dispatch(engine) as dispatcher:

        async def two_steps() -> None:
            await ask(dispatcher, "first")
            await ask(dispatcher, "second")
            release.set()

        await asyncio.wait_for(asyncio.gather(ask(dispatcher, "slow"), two_steps()), 5)
    assert engine.batches[:2] == [["first"], ["second"]]


async def test_an_answered_request_is_never_sent_again(dispatch: Callable[..., Dispatcher]) -> None:
    first, second = Recorder(), Recorder()
    async with dispatch(first) as dispatcher:
        answers = [await ask(dispatcher, "a"), await ask(dispatcher, "a"), await ask(dispatcher, "a", draw="1")]
    async with dispatch(second) as dispatcher:
        again = [await ask(dispatcher, "a"), await ask(dispatcher, "a", draw="1")]
        assert dispatcher.accounts.total("cached") == 2
    assert answers[0] == answers[1] == again[0]
    assert answers[2] == again[1] != answers[0]
    assert first.sent["generate"] == 2
    assert second.sent["generate"] == 0
    assert second.starts == 0, "an engine that has nothing to do is not loaded"


async def test_equal_requests_in_flight_are_one(dispatch: Callable[..., Dispatcher]) -> None:
    engine = Recorder()
    async with dispatch(engine) as dispatcher:
        models = Models(dispatcher)
        losses = await asyncio.gather(*(models.scorer.loss(target="b c", context="a") for _ in range(5)))
        assert dispatcher.accounts.total("cached") == 4
    assert engine.sent["loss"] == 1
    assert len(set(losses)) == 1


async def test_per_token_losses_and_embeddings_come_back_from_the_log_bit_for_bit(
    dispatch: Callable[..., Dispatcher],
) -> None:
    async with dispatch(Recorder()) as dispatcher:
        vector = await Models(dispatcher).embedder.embed("some text")
    async with dispatch(Recorder()) as dispatcher:
        again = await Models(dispatcher).embedder.embed("some text")
    assert vector.dtype == again.dtype
    assert (vector == again).all()


async def test_seeds_depend_on_content_and_run_seed_only() -> None:
    request = GenerateRequest((("user", "x"),), sampling=WARM, draw="0")
    greedy = GenerateRequest((("user", "x"),))
    key = request_key(request, "m", 1)
    assert key == request_key(request, "m", 1) != request_key(request, "m", 2) != request_key(request, "n", 2)
    assert request_key(greedy, "m", 1) == request_key(greedy, "m", 2), "greedy answers are the same in every run"
    assert request_seed(key, 1) != request_seed(key, 2)
    assert 0 <= request_seed(key, 1) < 2**63


async def test_a_passing_fault_is_retried_and_a_lasting_one_ends_the_run(dispatch: Callable[..., Dispatcher]) -> None:
    class Flaky(Script):
        failures = 2

        def generate(self, request: GenerateRequest) -> str:
            if self.failures:
                self.failures -= 1
                raise TransientError("busy")
            return "fine"

    async with dispatch(Recorder(Flaky())) as dispatcher:
        assert await ask(dispatcher, "a") == "fine"

    class Gone(Script):
        def generate(self, request: GenerateRequest) -> str:
            raise TransientError("connection refused")

    async with dispatch(Recorder(Gone())) as dispatcher:
        with pytest.raises(EngineError, match="failed 3 times, last with: connection refused"):
            await ask(dispatcher, "b")
        with pytest.raises(EngineError):
            await asyncio.wait_for(ask(dispatcher, "c"), 1)


async def test_attempts_that_are_followed_by_another_are_counted_and_told_of_once(
    dispatch: Callable[..., Dispatcher],
) -> None:
    seen: set[int] = set()

    class Tired(Script):
        def generate(self, request: GenerateRequest) -> str:
            number = int(request.messages[-1][1])
            if number % 10 == 0 and number not in seen:
                seen.add(number)
                raise TransientError(f"too busy for {number}")
            return "fine"

    told: list[str] = []
    async with dispatch(Recorder(Tired(), Lane(1, 4)), notice=told.append) as dispatcher:
        await asyncio.gather(*(ask(dispatcher, f"{n}") for n in range(300)))
        counts = {role: (account.sent, account.retried) for (role, *_), account in dispatcher.accounts.by_key.items()}
    assert counts == {"evolver": (300, 30)}
    assert len(told) == 1
    assert re.fullmatch(r"\d+ of \d+ requests failed for now and are sent again, the last: too busy for \d+", told[0])


async def test_a_lane_that_may_grow_does_so_while_that_pays(dispatch: Callable[..., Dispatcher]) -> None:
    class Server(Recorder):
        running = most = 0

        async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0.1)
            self.running -= 1
            return await super().generate(requests)

    for bound, least, most in ((8, 8, 8), (200, START + 1, 200)):
        engine = Server(lane=ElasticLane(1, bound))
        async with dispatch(engine) as dispatcher:
            await asyncio.gather(*(ask(dispatcher, f"{bound} {n}") for n in range(30 * min(bound, 20))))
        assert least <= engine.most <= most


async def test_an_answer_is_in_the_log_before_long(database: Database, dispatch: Callable[..., Dispatcher]) -> None:
    class Slow(Recorder):
        async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
            await asyncio.sleep(0.05)
            return await super().generate(requests)

    async with dispatch(Slow(lane=Lane(1, 4))) as dispatcher:
        for number in range(5):
            await ask(dispatcher, f"{number}")
            assert await database.run(lambda: RequestLog(database, "run").usage()["evolver"]["requests"]) == number + 1


async def test_a_fault_of_one_request_alone_is_that_request_s(dispatch: Callable[..., Dispatcher]) -> None:
    class Picky(Script):
        def generate(self, request: GenerateRequest) -> str:
            if "bad" in request.messages[-1][1]:
                raise TransientError("server error")
            return "fine"

    async with dispatch(Recorder(Picky(), Lane(batch=1, parallel=1)), retry=RetryPolicy(3, 0.05)) as dispatcher:

        async def others() -> None:
            for number in range(20):
                await ask(dispatcher, f"good {number}")
                await asyncio.sleep(0.01)

        bad, _ = await asyncio.gather(ask(dispatcher, "bad"), others(), return_exceptions=True)
    assert isinstance(bad, RequestError)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(EngineError("out of memory"), "out of memory"), (ValueError("bug"), "generate failed: ValueError: bug")],
)
async def test_an_engine_s_failure_reaches_everyone_who_waits(
    dispatch: Callable[..., Dispatcher], raised: Exception, expected: str
) -> None:
    class Dies(Recorder):
        async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
            raise raised

    engine = Dies(lane=Lane(batch=2, parallel=1))
    async with dispatch(engine) as dispatcher:
        results = await asyncio.wait_for(
            asyncio.gather(*(ask(dispatcher, f"{n}") for n in range(7)), return_exceptions=True), 5
        )
    assert all(isinstance(result, EngineError) and expected in str(result) for result in results)
    assert engine.closed == 1


async def test_an_engine_that_returns_rubbish_ends_the_run_and_hangs_nobody(
    dispatch: Callable[..., Dispatcher],
) -> None:
    class Rubbish(Recorder):
        async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
            return ["not a completion"] * len(requests)  # type: ignore[list-item]

    async with dispatch(Rubbish()) as dispatcher:
        with pytest.raises(EngineError, match="answered with 'not a completion', which is no answer"):
            await asyncio.wait_for(ask(dispatcher, "a"), 5)


async def test_a_server_that_goes_away_is_not_taken_for_a_bad_request(dispatch: Callable[..., Dispatcher]) -> None:
    class Drains(Script):
        left = 5

        def generate(self, request: GenerateRequest) -> str:
            Drains.left -= 1
            if Drains.left < 0:
                raise TransientError("connection refused")
            return "fine"

    async with dispatch(Recorder(Drains(), Lane(batch=1, parallel=4)), retry=RetryPolicy(3, 0.01)) as dispatcher:
        results = await asyncio.gather(*(ask(dispatcher, f"{n}") for n in range(12)), return_exceptions=True)
    failures = [result for result in results if isinstance(result, Exception)]
    assert len(failures) == 7
    assert all(isinstance(failure, EngineError) for failure in failures), "the run stops and can be resumed"


async def test_a_ledger_that_cannot_be_written_ends_the_run_and_keeps_what_it_has(
    database: Database, dispatch: Callable[..., Dispatcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(RequestLog, "append", full)
        async with dispatch(Recorder()) as dispatcher:
            await ask(dispatcher, "a")
            with pytest.raises(LedgerError, match="disk is full"):
                await dispatcher.flush()
            with pytest.raises(LedgerError):
                await ask(dispatcher, "b")
            patch.undo()  # space was made: the last flush writes what was held back
    again = Recorder()
    async with dispatch(again) as dispatcher:
        await ask(dispatcher, "a")
    assert again.sent["generate"] == 0


async def test_what_a_plugin_asks_for_wrongly_is_its_own_failure(dispatch: Callable[..., Dispatcher]) -> None:
    engine = Recorder()
    wrong: list[dict[str, Any]] = [
        {"prompt": "\ud800"},
        {"prompt": "x", "max_tokens": 0},
        {"prompt": "x", "temperature": float("nan")},
        {"prompt": "x", "temperature": "hot"},
        {"prompt": "x", "stop": [3]},
        {"prompt": []},
        {"prompt": [{"role": "user"}]},
        {"prompt": [{"role": "user", "content": None}]},
        {"prompt": "x" * 5_000_000},
    ]
    async with dispatch(engine) as dispatcher:
        models = Models(dispatcher)
        for arguments in wrong:
            with pytest.raises((TypeError, ValueError, KeyError)):
                await models.evolver.generate(**arguments)
        for text in (None, 3, "\udfff"):
            with pytest.raises((TypeError, ValueError)):
                await models.scorer.loss(target=text)  # type: ignore[arg-type]
            with pytest.raises((TypeError, ValueError)):
                await models.embedder.embed(text)  # type: ignore[arg-type]
        assert await models.evolver.generate("x")
        for choices in (
            "AB",
            (),
            ("A",),
            ("A", "A"),
            ("A", ""),
            ("A", " \n"),
            ("A", None),
            ["x" * n for n in range(66)],
        ):
            with pytest.raises((TypeError, ValueError)):
                await models.evolver.choose("x", choices)  # type: ignore[arg-type]
        for prompt in ([], [{"role": "nobody", "content": "x"}], "\udfff"):
            with pytest.raises((TypeError, ValueError)):
                await models.evolver.choose(prompt, ("A", "B"))
    assert engine.sent == {"generate": 1, "loss": 0, "embed": 0, "choose": 0}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "which is no answer"),
        (Loss(1.0, 1), "which is no answer"),
        (Completion(None), "its text is no text"),  # type: ignore[arg-type]
        (Completion("x", "stop", -1), "numbers of tokens"),
        (Completion("x", "stop", 10**400), "numbers of tokens"),
        (Completion("x", "stop", "many"), "invalid literal"),  # type: ignore[arg-type]
    ],
)
async def test_a_strange_engine_s_answers_are_looked_at(
    dispatch: Callable[..., Dispatcher], answer: Any, said: str
) -> None:
    class Strange(Recorder):
        async def generate(self, requests: Sequence[GenerateRequest]) -> list[Any]:
            return [answer for _ in requests]

    engine = Strange()
    async with dispatch(engine) as dispatcher:
        dispatcher._engines = EngineCalls([(engine, "engine `strange` of evil-dist 1.2")], print, None)
        with pytest.raises(EngineError, match=r"engine `strange` of evil-dist 1\.2") as error:
            await ask(dispatcher, "a")
    assert said in str(error.value)


async def test_answers_are_made_storable(dispatch: Callable[..., Dispatcher]) -> None:
    class Half(Script):
        def generate(self, request: GenerateRequest) -> str:
            return "a\ud800b\0c"

    async with dispatch(Recorder(Half())) as dispatcher:
        assert await ask(dispatcher, "a") == "a\ufffdb\ufffdc"
    async with dispatch(Recorder(Half())) as dispatcher:
        assert await ask(dispatcher, "a") == "a\ufffdb\ufffdc"


async def test_a_strange_engine_that_does_not_answer_is_told_of_once(database: Database) -> None:
    class Slow(Recorder):
        async def generate(self, requests: Sequence[GenerateRequest]) -> list[Completion | Exception]:
            await asyncio.sleep(0.5)
            return await super().generate(requests)

        async def close(self) -> None:
            raise OSError("cannot")

    told: list[str] = []
    roles = {"evolver": RoleBinding(Slow(lane=Lane(1, 1)), WARM, plugin="engine `slow` of evil-dist 1.2")}
    log = RequestLog(database, "run")
    async with Dispatcher(roles, log, database, notice=told.append, slow_seconds=0.2) as found:
        await asyncio.gather(*(ask(found, f"{n}") for n in range(3)))
    name = "engine `slow` of evil-dist 1.2 (scripted:scripted)"
    assert told == [f"{name} has not answered for 0.2 s; waiting for it", f"{name} did not close: OSError: cannot"]


async def test_a_role_without_a_model_is_the_user_s_mistake(dispatch: Callable[..., Dispatcher]) -> None:
    async with dispatch(Recorder()) as dispatcher:
        with pytest.raises(UserError, match=r"models\.judge"):
            await Models(dispatcher).judge.generate("?")
        with pytest.raises(UserError, match=r"models\.scorr: .* gives it no model; did you mean `scorer`\?"):
            await Models(dispatcher)["scorr"].choose("?", ("Yes", "No"))


async def test_a_role_is_the_same_by_its_name(dispatch: Callable[..., Dispatcher]) -> None:
    engine = Recorder()
    async with dispatch(engine) as dispatcher:
        models = Models(dispatcher)
        first = await models["evolver"].generate("x")
        assert (await models.evolver.generate("x")).text != first.text  # the second draw
    assert engine.sent["generate"] == 2


class ByLoss(Recorder):
    """Has losses and no `choose`, as most engines: the nats of a reply are its length."""

    capabilities = frozenset({"generate", "loss"})

    async def loss(self, requests: Sequence[LossRequest]) -> list[Loss | Exception]:
        self.sent["loss"] += len(requests)
        return [self._nats(request) for request in requests]

    def _nats(self, request: LossRequest) -> Loss | Exception:
        assert request.convention == "chat"
        assert request.messages == (("user", "1+1?"), ("assistant", "2"), ("user", "2+2?"))
        if request.target == "too long":
            return RequestError("the text is too long")
        return Loss(float(len(request.target)), 1, merged=request.target == " 4", prompt_tokens=7)


async def test_an_engine_with_losses_can_choose(dispatch: Callable[..., Dispatcher]) -> None:
    expected = {"4": math.exp(-1), "four": math.exp(-4), "fourteen": math.exp(-8)}
    expected = {answer: weight / sum(expected.values()) for answer, weight in expected.items()}
    answers = []
    engines = [ByLoss(lane=Lane(batch=8, parallel=1)) for _ in range(2)]
    for engine in engines:
        async with dispatch(engine) as dispatcher:
            models = Models(dispatcher, Scope("op", 1))
            answers.append(await models.scorer.choose("2+2?", list(expected), examples={"1+1?": "2"}))
            account = dispatcher.accounts.by_key["scorer", "op", 1]
            assert (account.sent, account.cached) == ((3, 0) if engine is engines[0] else (0, 3))
    assert answers[0].probabilities == pytest.approx(expected)
    assert list(answers[0].probabilities) == list(expected)
    assert (answers[0].best, answers[0].prompt_tokens) == ("4", 21)
    assert answers[1] == answers[0]
    assert engines[1].sent["loss"] == 0


async def test_an_answer_that_cannot_be_weighed_fails_the_choice(dispatch: Callable[..., Dispatcher]) -> None:
    async with dispatch(ByLoss()) as dispatcher:
        scorer = Models(dispatcher).scorer
        with pytest.raises(RequestError, match="too long"):
            await scorer.choose("2+2?", ("4", "too long"), examples={"1+1?": "2"})
        with pytest.raises(RequestError, match="joins the answer ' 4' to the prompt"):
            await scorer.choose("2+2?", ("4", " 4"), examples={"1+1?": "2"})


async def test_a_choice_of_the_engine_s_own_is_kept_in_the_log(dispatch: Callable[..., Dispatcher]) -> None:
    class Sure(Script):
        def choose(self, request: ChooseRequest) -> dict[str, float]:
            return dict.fromkeys(reversed(request.choices), 1.0) | {request.choices[0]: 2.0}

    engine = Recorder(Sure())
    found = []
    for _ in range(2):
        async with dispatch(engine) as dispatcher:
            found.append(await Models(dispatcher).scorer.choose("Which?", ("b", "a", "c")))
    assert found[0].probabilities == {"b": 0.5, "a": 0.25, "c": 0.25}
    assert list(found[0].probabilities) == list(found[1].probabilities) == ["b", "a", "c"]
    assert found[0] == found[1]
    assert engine.sent["choose"] == 1


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"a": 1.0},
        {"a": 1.0, "b": -0.5},
        {"a": 0.0, "b": 0.0},
        {"a": 1.0, "b": float("nan")},
        {"a": 1, "b": 1, "c": 1},
    ],
)
async def test_a_strange_engine_s_choices_are_looked_at(
    dispatch: Callable[..., Dispatcher], weights: dict[str, float]
) -> None:
    class Strange(Script):
        def choose(self, request: ChooseRequest) -> dict[str, float]:
            return weights

    async with dispatch(Recorder(Strange())) as dispatcher:
        with pytest.raises(EngineError, match="choose answered with"):
            await Models(dispatcher).scorer.choose("Which?", ("a", "b"))


def test_the_expectation_of_a_choice() -> None:
    grades = Choice({"1": 0.25, "5": 0.75})
    assert grades.expectation() == pytest.approx(4.0)
    assert grades.expectation({"1": 0, "5": 1}) == pytest.approx(0.75)
    with pytest.raises(KeyError):
        grades.expectation({"1": 0})


def test_back_off_doubles_and_honours_the_server() -> None:
    policy = RetryPolicy(first=1, longest=5)
    assert [policy.delay(n, None) for n in (1, 2, 3, 4)] == [1, 2, 4, 5]
    assert policy.delay(1, 17.0) == 17
    assert policy.delay(1, 1e9) == 300

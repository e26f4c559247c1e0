"""How many requests run at once, against models of servers: what they can take is found, and found anew."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from evoagent.models.concurrency import START, AdaptiveLimit, Outcome

Server = Callable[[int], tuple[float, bool]]
"""Seconds that a call takes beside so many others, and whether it is refused."""


class Simulation:
    """Keeps a server as busy as the limit says, in time of its own.

    Attributes:
        limit: what the limit says now.
        answered: calls that were not refused.
    """

    def __init__(self, bound: int) -> None:
        self.learner = AdaptiveLimit(bound)
        self.limit = min(START, bound)
        self.now = 0.0
        self.answered = self.refused = self.most = 0
        self._running: list[tuple[float, int, float, bool]] = []
        self._number = 0

    def run(self, server: Server, calls: int, *, crowded: bool = True) -> None:
        for _ in range(calls):
            while len(self._running) < self.limit:
                self._number += 1
                seconds, refused = server(len(self._running) + 1)
                seconds *= 1 + self._number * 0.618 % 0.2  # no two take quite as long
                heapq.heappush(self._running, (self.now + seconds, self._number, self.now, refused))
            self.most = max(self.most, len(self._running))
            self.now, _, sent, refused = heapq.heappop(self._running)
            self.answered += not refused
            self.refused += refused
            self.limit = self.learner.after(Outcome(refused, sent, self.now, crowded))


def roomy(_: int) -> tuple[float, bool]:
    return 0.5, False


def narrow(places: int) -> Server:
    return lambda beside: (0.05, True) if beside > places else (0.5, False)


def saturated(places: int) -> Server:
    """A server that lets the others wait: more at once bring no more."""
    return lambda beside: (0.5 * max(1.0, beside / places), False)


def test_a_server_that_takes_all_gets_all_that_the_user_allows() -> None:
    found = Simulation(256)
    found.run(roomy, 4000)
    assert found.limit == found.most == 256
    found = Simulation(5)
    found.run(roomy, 1000)
    assert found.limit == found.most == 5


def test_no_more_than_brings_more_answers() -> None:
    found = Simulation(1024)
    found.run(saturated(100), 20_000)
    assert 80 <= found.limit <= 160
    best = found.now
    every = Simulation(100)
    every.run(saturated(100), 20_000)
    assert best < 1.15 * every.now


@pytest.mark.parametrize("places", [1, 4, 40])
def test_a_server_that_refuses_gets_fewer_and_is_kept_busy(places: int) -> None:
    found = Simulation(256)
    found.run(narrow(places), 20_000)
    assert found.limit <= 2 * places
    assert found.refused < 0.15 * found.answered
    assert found.answered / found.now > 0.6 * places / 0.55


def test_a_server_that_recovers_gets_more_again() -> None:
    found = Simulation(256)
    found.run(roomy, 2000)
    found.run(narrow(8), 2000)
    assert found.limit <= 16
    found.run(roomy, 20_000)
    assert found.limit >= 100


def test_a_few_refusals_are_the_server_s_weather() -> None:
    count = 0

    def sometimes(_: int) -> tuple[float, bool]:
        nonlocal count
        count += 1
        return (0.05, True) if count % 20 == 0 else (0.5, False)

    found = Simulation(256)
    found.run(sometimes, 8000)
    assert found.limit >= 64


def test_late_refusals_of_a_flight_count_once() -> None:
    limit = AdaptiveLimit(32)
    halved = [limit.after(Outcome(True, sent=1.0, ended=2.0 + number / 100, crowded=True)) for number in range(32)]
    assert halved[-1] == 16, "all were sent before the limit was halved"


def test_nothing_is_learnt_of_a_rate_while_nobody_waits() -> None:
    found = Simulation(256)
    found.run(roomy, 2000, crowded=False)
    assert found.limit == START

"""Keys of the request log stay what they were: every ledger is full of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from evoagent.models import requests
from evoagent.models.keys import request_key
from evoagent.models.requests import ChooseRequest, EmbedRequest, GenerateRequest, LossRequest, Request, Sampling

SHARED = (("system", 'You "write"\n\\ tasks.'), ("user", "Größe, 漢字, 🙂, \x00\x1f\u2028\ud800"), ("assistant", ""))
SAMPLINGS = [
    Sampling(),
    Sampling(1, 1, 5),  # type: ignore[arg-type]
    Sampling(0.7, 0.95, 512, ("\n\n", 'END"')),
    Sampling(1e-7, 1e-20, 10**7),
]
REQUESTS: list[Request] = [
    GenerateRequest((*turns, ("user", "last")), text, sampling, draw, seed=4)
    for turns, text, sampling, draw in product([(), SHARED], ["", "tëxt"], SAMPLINGS, ["", '1.2#0"é'])
]
REQUESTS += [GenerateRequest(text="only a text"), LossRequest("b", "a", per_token=True), EmbedRequest("e")]
REQUESTS += [LossRequest('"\u2028é\ud800', "漢\x00", "", "chat"), LossRequest("")]
REQUESTS += [ChooseRequest(SHARED, ("Yes", "No")), LossRequest("b", convention="chat", messages=SHARED)]


@pytest.mark.parametrize("run_seed", [0, -3, 2**70])
def test_they_are_those_of_the_slow_way(run_seed: int) -> None:
    for request in REQUESTS:
        assert request_key(request, 'm"ö@1:float32', run_seed) == requests.request_key(
            request, 'm"ö@1:float32', run_seed
        )


def test_they_are_those_of_older_versions() -> None:
    warm = GenerateRequest(
        (("system", "Be kind."), ("user", "Größe?")), sampling=Sampling(0.7, 0.9, 64, ("END",)), draw="1.0#0"
    )
    greedy = GenerateRequest((("user", "x"),))
    assert request_key(warm, "m@1:float32", 3) == "1a8d56fd9a535eea9bb984d92b0d4d9ded7619ff"
    assert request_key(greedy, "m@1:float32", 3) == "39bdb235d9589fec9fa642c33323b834e79ae7d4"
    assert request_key(LossRequest("b", "a"), "m@1:float32", 3) == "0bca0352ac57180caf3e422b0d0dbeb2a081b239"


def test_each_part_of_what_is_asked_makes_another_key() -> None:
    loss = LossRequest("b", "", "", "chat")
    asked = [loss, replace(loss, messages=SHARED), replace(loss, messages=SHARED[:1])]
    choices = [ChooseRequest(SHARED, ("Yes", "No")), ChooseRequest(SHARED, ("No", "Yes")), ChooseRequest((), ("Yes",))]
    keys = [request_key(request, "m", 0) for request in (*asked, *choices)]
    assert len(set(keys)) == len(keys)

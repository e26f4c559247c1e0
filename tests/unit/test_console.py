"""What a run says of its progress where there is no terminal."""

from __future__ import annotations

import pytest

from evoagent.cli import console
from evoagent.events import NodeFinished, NodeProgress, NodeStarted


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (44.6, "45 s"), (89, "89 s"), (125, "2 min"), (5399, "90 min"), (10_000, "3 h"), (200_000, "56 h")],
)
def test_durations_are_rough(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def test_lines_tell_the_time_that_is_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    lines = console.Lines()
    lines(NodeStarted("evolver", 1, 4000))
    for clock[0], done in ((10.0, 300), (20.0, 400), (30.0, 1200), (40.0, 1600), (50.0, 1600), (66.0, 1600)):
        lines(NodeProgress("evolver", 1, done, 4000, 310.4))
    lines(NodeFinished("evolver", 1, 4000, 100.0, 12))
    lines(NodeFinished("critic", 1, 4000, 100.0))
    assert capsys.readouterr().err.splitlines() == [
        "round 1 evolver: 400/4000, 310 tokens/s, about 3 min left",
        "round 1 evolver: 1600/4000, 310 tokens/s, about 40 s left",
        "round 1 evolver: 1600/4000, 310 tokens/s",
        "round 1 evolver: 4000 in 100.0 s, 12 requests sent again",
        "round 1 critic: 4000 in 100.0 s",
    ]

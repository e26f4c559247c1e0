from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evoagent_map_elites.config import MapElitesTopicsConfig
from evoagent_map_elites.selectors import MapElitesTopics
from evoagent_map_elites.topics import lead, nearest
from pydantic import ValidationError

from conftest import candidate
from evoagent import Candidate, ConfigError, Population, Verdict
from evoagent.testing import collect


def unit(count: int, dimensions: int, seed: int = 0) -> Any:
    rows = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_leaders_are_unlike_all_before_them() -> None:
    # The third is nearer to the first, the fourth is unlike both but comes when two topics are all there may be.
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0.8, 0.6, 0], [0, 0.1, -0.995]], dtype=np.float32)
    topics, leaders = lead(vectors, 2, 0.5)
    assert topics.tolist() == [0, 1, 0, 1]
    assert leaders == [0, 1]
    topics, leaders = lead(vectors, 3, 0.5)
    assert topics.tolist() == [0, 1, 0, 2]
    assert leaders == [0, 1, 3]


def test_what_comes_later_moves_nothing() -> None:
    vectors = unit(300, 24)
    topics, leaders = lead(vectors, 30, 0.3)
    assert len(leaders) == 30
    for count in (1, 7, leaders[-1], leaders[-1] + 1, 299):
        earlier, founded = lead(vectors[:count], 30, 0.3)
        assert earlier.tolist() == topics[:count].tolist()
        assert founded == [row for row in leaders if row < count]


def test_topics_do_not_depend_on_the_batch() -> None:
    centroids = unit(5, 384, seed=1)
    # Vectors half-way between two centroids, where the last bit of a float32 product would decide.
    between = centroids[np.random.default_rng(2).integers(0, 5, (200, 2))].sum(axis=1)
    between /= np.linalg.norm(between, axis=1, keepdims=True)
    whole = nearest(between, centroids)
    assert [int(nearest(row[None], centroids)[0]) for row in between] == whole.tolist()
    order = np.random.default_rng(3).permutation(200)
    assert nearest(between[order], centroids).tolist() == whole[order].tolist()


async def select(
    selector: MapElitesTopics, candidates: list[Candidate], survivors: list[Candidate], models: Any
) -> list[Verdict]:
    return await collect(selector.select(Population.of(candidates), Population.of(survivors), models))


VECTORS = {"a": [1, 0, 0], "b": [0.9, 0.1, 0], "c": [0, 1, 0], "d": [0.1, 0.9, 0], "e": [0, 0, 1]}


async def test_a_topic_is_named_by_its_founder(known: Any) -> None:
    selector = MapElitesTopics(MapElitesTopicsConfig(topics=3))
    candidates = [candidate("a", 0.3), candidate("b", 0.2), candidate("c", 0.1)]
    found = await select(selector, candidates, [], known(VECTORS))
    assert [verdict.kept for verdict in found] == [True, False, True]
    assert found[0].detail == "new in cell topic 1 ('a') × ifd 0.4–0.6"
    assert found[1].detail == "cell topic 1 ('a') × ifd 0.4–0.6 is held by a better one, a"
    figures = await selector.measure(Population.of([candidates[0], candidates[2]]), known(VECTORS))
    assert figures == {"coverage": 2 / 15, "elites": 2, "qd_score": pytest.approx(0.4), "best": 0.3}


async def test_topics_are_found_again_in_later_rounds(known: Any) -> None:
    config = MapElitesTopicsConfig(topics=3)
    survivors = [candidate("c", 0.1), candidate("a", 0.3)]  # in the order of the ledger, not of their founding
    later = [candidate("d", 0.2, round=2), candidate("b", 0.2, round=2), candidate("e", 0.01, round=2)]
    better, worse, new = await select(MapElitesTopics(config), later, survivors, known(VECTORS))
    assert better.detail == "better than c in cell topic 2 ('c') × ifd 0.4–0.6"
    assert worse.detail == "cell topic 1 ('a') × ifd 0.4–0.6 is held by a better one, a"
    assert new.detail == "new in cell topic 3 ('e') × ifd 0.4–0.6"


async def test_centroids_are_topics_from_the_start(known: Any) -> None:
    vectors = VECTORS | {"cooking": [1, 0, 0], "travel": [0, 1, 0]}
    selector = MapElitesTopics(MapElitesTopicsConfig(centroids=["cooking", "travel"], bins=1))
    found = await select(selector, [candidate("b", 0.2), candidate("d", 0.1)], [], known(vectors))
    assert [verdict.detail for verdict in found] == [
        "new in cell topic 'cooking' × ifd 0–1",
        "new in cell topic 'travel' × ifd 0–1",
    ]
    assert (await selector.measure(Population.of([candidate("b", 0.2)]), known(vectors)))["coverage"] == 0.5
    with pytest.raises(ConfigError, match="'cooking' has no embedding: the text is too long"):
        await select(selector, [candidate("b", 0.2)], [], known(VECTORS))


async def test_a_text_that_the_embedder_refuses_has_no_cell(known: Any) -> None:
    lost, kept = [candidate("unknown", 0.9)], [candidate("a", 0.1)]
    found = await select(MapElitesTopics(), lost + kept, [], known(VECTORS))
    assert [verdict.kept for verdict in found] == [False, True]
    assert found[0].detail == "no embedding: the text is too long for the model"
    assert await MapElitesTopics().measure(Population.of(lost), known(VECTORS)) == {
        "coverage": 0,
        "qd_score": 0,
        "elites": 0,
    }
    keeping = MapElitesTopics(MapElitesTopicsConfig(missing="keep"))
    assert (await select(keeping, lost, [], known(VECTORS)))[0].kept


async def test_a_run_that_is_taken_up_by_others_is_the_same_run(known: Any) -> None:
    texts = [f"text {number}" for number in range(120)]
    models = known(dict(zip(texts, unit(120, 12).tolist(), strict=True)))
    random = np.random.default_rng(4)
    config = MapElitesTopicsConfig(topics=6, similarity=0.2, bins=3)
    survivors: list[Candidate] = []
    names: dict[str, str] = {}
    for round in range(1, 5):
        made = [
            candidate(f"{round}-{number}", *random.random(2).tolist(), round=round, instruction=text)
            for number, text in enumerate(texts[30 * round - 30 : 30 * round])
        ]
        verdicts = await select(MapElitesTopics(config), made, survivors, models)
        shuffled = [made[number] for number in random.permutation(30)]
        again = await select(MapElitesTopics(config), shuffled, survivors[::-1], models)
        assert sorted(zip(map(str, made), verdicts, strict=True), key=str) == sorted(
            zip(map(str, shuffled), again, strict=True), key=str
        )
        for verdict in verdicts:
            number, _, founder = verdict.detail.partition("topic ")[2].partition(" × ")[0].partition(" ")
            assert names.setdefault(number, founder) == founder
        survivors += [item for item, verdict in zip(made, verdicts, strict=True) if verdict.kept]
    figures = await MapElitesTopics(config).measure(Population.of(survivors), models)
    assert figures["elites"] == figures["coverage"] * 18 <= 18
    assert len(names) == 6


async def test_a_founders_text_is_fit_to_be_shown(known: Any) -> None:
    text = "\x1b[31mred\x00\n\n" + "very " * 5000 + "long"
    (found,) = await select(MapElitesTopics(), [candidate("a", 0.1, instruction=text)], [], known({text: [1, 0]}))
    assert found.detail.isprintable()
    assert len(found.detail) < 120


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"topics": 0}, "greater than or equal to 1"),
        ({"similarity": -1}, "greater than -1"),
        ({"centroids": []}, "at least 1 item"),
        ({"centroids": ["a", " a "]}, "one of them twice"),
        ({"centroids": [""]}, "at least 1 character"),
        ({"rows": "operator"}, "Extra inputs"),
    ],
)
def test_wrong_parameters_are_explained(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MapElitesTopicsConfig(**parameters)

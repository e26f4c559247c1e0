"""Populations as plugins see them: in memory and in the ledger, their vectors, and what comparing them costs."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evoagent.errors import LedgerError, RequestError
from evoagent.ledger.database import PAGE, Database
from evoagent.ledger.replacement import ReplaceParents
from evoagent.ledger.request_log import RequestLog
from evoagent.ledger.rows import Critique, NewCandidate
from evoagent.ledger.store import Store
from evoagent.ledger.vector_file import VectorFile
from evoagent.ledger.views import text_key
from evoagent.models.binding import RoleBinding
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.requests import Embedding, EmbedRequest
from evoagent.models.roles import Models
from evoagent.population import neighbours
from evoagent.population.base import Population
from evoagent.population.lineage import ancestors
from evoagent.population.ragged import Pairs
from evoagent.population.stored import RunPopulations
from evoagent.records import Candidate, Instruction, Score, Verdict, content_id
from evoagent.rules import near_duplicate
from evoagent.rules.near_duplicate import NearDuplicate
from evoagent.scorers import embedding_diversity
from evoagent.scorers.embedding_diversity import EmbeddingDiversity
from evoagent.selectors.by_score import Top, TopConfig
from evoagent.testing import Script, ScriptedEngine, collect

RUN = "run"


class Directions(Script):
    """A vector for each text, of a direction that the text alone decides."""

    def embed(self, request: EmbedRequest) -> Embedding:
        if "refused" in request.text:
            raise RequestError("too long")
        return Embedding(unit(1, text_key(request.text) % 2**32)[0])


def unit(count: int, seed: int, dimensions: int = 16) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    found: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    database = Database(tmp_path / "ledger.db")
    yield Store(database)
    database.close()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(script=Directions())


@pytest.fixture
async def dispatcher(store: Store, engine: ScriptedEngine) -> AsyncIterator[Dispatcher]:
    log = RequestLog(store.database, RUN)
    async with Dispatcher({"embedder": RoleBinding(engine)}, log, store.database) as dispatcher:
        yield dispatcher


def fill(store: Store, seeds: int, rounds: int = 2) -> list[list[Candidate]]:
    """Candidates of some rounds, each made of one of the round before; those of all rounds but the last survive."""
    parents = [Instruction(content_id("seed", n), f"Why {n}?", seed_id=content_id("seed", n)) for n in range(seeds)]
    store.runs.begin(RUN, "", {}, {}, parents, 0, {})
    made: list[list[Candidate]] = []
    for round in range(1, rounds + 1):
        made.append([])
        for start in range(0, seeds, PAGE):
            page = [
                Candidate(content_id(parent.id), f"Why {n} in {round}?", parent, "ask", round, response="So.")
                for n, parent in enumerate(parents[start : start + PAGE], start)
            ]
            store.candidates.add(RUN, [NewCandidate(each, start + n, "toy") for n, each in enumerate(page)])
            scores = [
                Score(n % 7 / 7) if n % 5 else Score(None, "no response") for n in range(start, start + len(page))
            ]
            answers = (Critique(c.id, "So.", "stop", "toy", {"ic_ifd": s}) for c, s in zip(page, scores, strict=True))
            store.candidates.save_critiques(RUN, round, list(answers))
            made[-1] += page
        if round < rounds:
            store.candidates.finish_round(RUN, round, {each.id: Verdict(True) for each in made[-1]})
            store.population.replace(RUN, round, ReplaceParents())
            parents = store.population.page(RUN, round + 1, 0, seeds)
    return made


async def test_the_ledger_shows_what_a_list_does(store: Store, dispatcher: Dispatcher, tmp_path: Path) -> None:
    fill(store, PAGE + 30, rounds=3)
    run = RunPopulations(store, RUN, tmp_path, dispatcher)
    candidates, survivors = await run.undecided(3), await run.survivors()
    assert (len(candidates), len(survivors)) == (PAGE + 30, 2 * (PAGE + 30))
    listed = Population.of([member async for member in candidates])
    earlier = Population.of([member async for member in survivors])
    assert [member.round for member in await survivors.rows([0, PAGE + 30])] == [1, 2]
    assert listed.ids.tolist() == candidates.ids.tolist()
    assert (await candidates.rows([7]))[0].parent.round == 2
    np.testing.assert_array_equal(await candidates.scores("ic_ifd"), await listed.scores("ic_ifd"))
    assert np.isnan((await candidates.scores("ic_ifd"))[::5]).all()
    one, other = await ancestors(candidates, survivors), await ancestors(listed, earlier)
    assert [one[row].tolist() for row in range(len(one))] == [other[row].tolist() for row in range(len(other))]
    assert [survivors.ids[row] for row in one[3]] == [survivors.ids[3], survivors.ids[PAGE + 30 + 3]]
    odd = np.arange(len(candidates)) % 2 == 1
    both = survivors.where([1, 4]) + candidates.where(odd)
    assert both.ids.tolist() == [*survivors.ids[[1, 4]], *candidates.ids[1::2]]
    with pytest.raises(ValueError, match="read-only"):
        candidates.ids[0] = "another"


async def test_each_text_is_embedded_once(
    store: Store, dispatcher: Dispatcher, engine: ScriptedEngine, tmp_path: Path
) -> None:
    fill(store, 40)
    models = Models(dispatcher)
    run = RunPopulations(store, RUN, tmp_path, dispatcher)
    candidates, survivors = await run.undecided(2), await run.survivors()
    found = await (survivors + candidates).vectors(models)
    assert engine.sent["embed"] == 80
    np.testing.assert_array_equal(found[3:4], unit(1, text_key("Why 3 in 1?") % 2**32))
    np.testing.assert_array_equal(np.asarray(found)[40:], (await candidates.vectors(models))[:])
    np.testing.assert_array_equal((await candidates.where([5, 2]).vectors(models))[:], found[np.array([45, 42])])
    await candidates.vectors(models, "response")
    assert engine.sent["embed"] == 81, "they are all the same"

    # Another process, with nothing but the file; then with a file that was torn, and the request log.
    await dispatcher.flush()
    expected = found[40:]
    (file,) = tmp_path.glob("vectors-*.bin")
    whole = file.read_bytes()
    for left in (len(whole), len(whole) - 7, 70, 10, 0):
        os.truncate(file, left)
        again = await (await RunPopulations(store, RUN, tmp_path, dispatcher).undecided(2)).vectors(models)
        np.testing.assert_array_equal(again[:], expected)
    assert engine.sent["embed"] == 81


async def test_a_text_that_is_refused_has_a_reason(store: Store, dispatcher: Dispatcher, tmp_path: Path) -> None:
    seed = Instruction("s", "Why?", seed_id="s")
    store.runs.begin(RUN, "", {}, {}, [seed], 0, {})
    texts = ["One.", "refused", "Two.", "refused"]
    made = [Candidate(f"c{n}", text, seed, "ask", 1) for n, text in enumerate(texts)]
    store.candidates.add(RUN, [NewCandidate(each, n, "toy") for n, each in enumerate(made)])
    found = await (await RunPopulations(store, RUN, tmp_path, dispatcher).undecided(1)).vectors(Models(dispatcher))
    assert found.failed == {1: "too long", 3: "too long"}
    assert np.linalg.norm(found[:], axis=1) == pytest.approx([1, 0, 1, 0])


def test_a_file_of_vectors_keeps_what_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evoagent.ledger.vector_file.UNSORTED", 1500)
    vectors, keys = unit(4000, 1), np.random.default_rng(2).permutation(4000).astype(np.uint64) << np.uint64(40)
    file = VectorFile(tmp_path / "v.bin")
    for start in range(0, 4000, 700):
        file.append(keys[start : start + 700], vectors[start : start + 700])
    for each in (file, VectorFile(tmp_path / "v.bin")):
        rows = each.find(np.concatenate([keys[::-1], [np.uint64(5)]]))
        assert rows[-1] == -1
        np.testing.assert_array_equal(each.read(rows), np.concatenate([vectors[::-1], np.zeros((1, 16))]))


def test_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    path, vectors, keys = tmp_path / "v.bin", unit(30, 1), np.arange(30, dtype=np.uint64)
    VectorFile(path).append(keys, vectors)
    whole = path.read_bytes()
    row = (len(whole) - 64) // 30
    path.write_bytes(whole[: 64 + 25 * row] + bytes(5 * row))  # a file that was made longer, and never filled
    file = VectorFile(path)
    assert len(file) == 25
    file.append(keys[25:], vectors[25:])
    assert path.read_bytes() == whole


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.bin").write_bytes(b"something else altogether" * 9)
    with pytest.raises(LedgerError, match="is no file of vectors"):
        VectorFile(tmp_path / "v.bin")
    file = VectorFile(tmp_path / "w.bin")
    file.append(np.arange(2, dtype=np.uint64), unit(2, 1))
    with pytest.raises(LedgerError, match="holds vectors of 16 numbers, found one of 4"):
        file.append(np.arange(2, 4, dtype=np.uint64), unit(2, 1, 4))


def clustered(count: int) -> NDArray[np.float32]:
    """Unit vectors of which two of a cluster are about 0.93 alike, and those of two clusters are not."""
    random = np.random.default_rng(4)
    centres = unit(count // 4, 5, 64)
    rows = centres[random.integers(len(centres), size=count)] + random.normal(0, 0.27 / 8, size=(count, 64))
    found: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


async def test_the_index_finds_what_comparing_all_does(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = clustered(12_000)
    vectors = neighbours.Vectors(matrix.shape, matrix.__getitem__)
    exact = neighbours.searcher(vectors)
    monkeypatch.setattr(neighbours, "EXACT", 10_000)
    index, again = neighbours.searcher(vectors), neighbours.searcher(vectors)
    assert [type(each) for each in (exact, index)] == [neighbours.Exact, neighbours.Index]
    own = Pairs(np.arange(2000), np.arange(2000))
    for each in (exact, index, again):
        each.add(np.arange(7000))
        each.add(np.arange(7000, 12_000))
    true, found, same = (each.search(matrix[:2000], own) for each in (exact, index, again))
    np.testing.assert_array_equal(found.row, same.row)
    np.testing.assert_array_equal(found.similarity, same.similarity)
    alike = true.similarity >= 0.9
    assert alike.mean() > 0.5
    assert (found.row[alike] == true.row[alike]).mean() >= 0.99
    assert (found.row == true.row).mean() >= 0.9
    np.testing.assert_allclose(found.similarity, (matrix[:2000] * matrix[found.row]).sum(axis=1), atol=1e-5)
    assert (found.row != np.arange(2000)).all()


async def test_duplicates_are_found_by_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    class Known:
        def __init__(self, matrix: NDArray[np.float32]) -> None:
            self.matrix, self.embedder = matrix, self

        async def embed(self, text: str) -> NDArray[np.float32]:
            return self.matrix[int(text)]

    seed = Instruction("s", "Why?")
    members = [Candidate(f"{n:05}", str(n), seed, "ask", 1) for n in range(6000)]
    survivors, candidates = Population.of(members[:2000]), Population.of(members[2000:])
    models = Known(clustered(6000))

    async def judged() -> list[bool]:
        return [found.kept for found in await collect(NearDuplicate().judge_all(candidates, survivors, models))]  # type: ignore[arg-type]

    exact = await judged()
    monkeypatch.setattr(neighbours, "EXACT", 100)
    found = await judged()
    assert np.mean([one == other for one, other in zip(exact, found, strict=True)]) >= 0.99
    assert 0.05 < np.mean(exact) < 0.95
    assert await judged() == found


async def test_no_list_of_all_members_is_made(
    store: Store, dispatcher: Dispatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [member.instruction for round in fill(store, 5000) for member in round]
    file = VectorFile(tmp_path / f"vectors-{content_id(dispatcher.identity('embedder'))}.bin")
    file.append(np.array([text_key(text) for text in texts], dtype=np.uint64), unit(len(texts), 3))
    del texts
    models, run = Models(dispatcher), RunPopulations(store, RUN, tmp_path, dispatcher)
    monkeypatch.setattr(neighbours, "BLOCK", 2**17)
    for module in (near_duplicate, embedding_diversity):
        monkeypatch.setattr(module, "QUERIES", 128)

    tracemalloc.start()
    candidates, survivors = await run.undecided(2), await run.survivors()
    given = 0
    async for score in EmbeddingDiversity().score_all(candidates, survivors, models):
        given += score.value is not None
    async for verdict in NearDuplicate().judge_all(candidates, survivors, models):
        given += verdict.kept
    async for verdict in Top(TopConfig(by="ic_ifd", share=0.5)).select(candidates, survivors, models):
        given += verdict.kept
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    listed = [member async for member in candidates] + [member async for member in survivors]
    as_list = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert given > 5000
    assert len(listed) == 10_000
    assert peak < as_list / 2

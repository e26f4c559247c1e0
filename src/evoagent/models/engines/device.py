"""Where an engine computes, and how precisely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evoagent.errors import ConfigError

if TYPE_CHECKING:
    pass


def choose_device(wanted: str) -> str:
    """The device to load on.

    Raises:
        ConfigError: "cuda" is wanted where there is none.
    """
    if wanted == "cpu":
        return wanted
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ConfigError("options.device is cuda, but torch finds no GPU: expected cpu or auto")
    return "cpu"


def choose_dtype(wanted: str, device: str) -> str:
    """The precision to compute in: "auto" is bfloat16 where the hardware multiplies it, else float32."""
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bfloat16"
    import torch

    features = torch.cpu.get_capabilities()
    return "bfloat16" if features.get("avx512_bf16") or features.get("amx_bf16") else "float32"

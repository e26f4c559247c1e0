"""A GGUF file as a normal checkpoint, in bfloat16: what transformers and vLLM both load."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from evoagent.errors import ModelSourceError

log = logging.getLogger(__name__)

# What transformers writes down about the place of the conversion; a checkpoint should not carry it.
_LOCAL_KEYS = ("_name_or_path", "_model_name_or_path", "name_or_path", "is_local", "local_files_only")


def convert(file: Path, target: Path) -> None:
    """Convert `file` into a checkpoint folder `target`, dequantised.

    Raises:
        ModelSourceError: it is no GGUF file, or of an architecture that transformers cannot read.
    """
    with file.open("rb") as stream:
        if (magic := stream.read(4)) != b"GGUF":
            raise ModelSourceError(f"{file} is not a GGUF file: it starts with {magic!r}, expected b'GGUF'")
    log.info("converting %s to a checkpoint, once (about 25 s for 135M parameters)", file.name)
    # A process of its own: its memory is freed at the end, and torch's threads are not started in this process, which
    # may yet fork an engine.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", __name__, str(file), str(target)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or [f"the converter ended with code {result.returncode}"])[-1]
        raise ModelSourceError(f"{file} cannot be converted to a checkpoint: {last[:600]}")


def _convert(file: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

    folder = str(file.parent)
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    # The GGUF's end token is that of a chat turn, which not every architecture's default is.
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    for path in target.iterdir():
        path.chmod(0o644)
        if path.name in {"config.json", "tokenizer_config.json", "generation_config.json"}:
            content = json.loads(path.read_text(encoding="utf-8"))
            kept = {key: value for key, value in content.items() if key not in _LOCAL_KEYS}
            path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _convert(Path(sys.argv[1]), Path(sys.argv[2]))

"""Evolve and answer each seed with data-designer: `run_data_designer.py SEEDS FOLDER CONCURRENCY`."""

from __future__ import annotations

import sys
from pathlib import Path

import data_designer.config as dd
from common import BASE_URL, SYSTEM, user_turn
from data_designer.interface import DataDesigner

SEEDS, FOLDER, CONCURRENCY = sys.argv[1], sys.argv[2], int(sys.argv[3])

provider = dd.ModelProvider(name="stub", endpoint=BASE_URL, provider_type="openai", api_key="x")
designer = DataDesigner(artifact_path=f"{FOLDER}/artifacts", model_providers=[provider])
designer.set_run_config(dd.RunConfig(buffer_size=1000))
sampling = dd.ChatCompletionInferenceParams(
    temperature=0.7, top_p=0.95, max_tokens=512, max_parallel_requests=CONCURRENCY
)
model = dd.ModelConfig(alias="m", model="stub", provider="stub", inference_parameters=sampling)
builder = dd.DataDesignerConfigBuilder(model_configs=[model])
builder.with_seed_dataset(dd.LocalFileSeedSource(path=SEEDS))
prompt = user_turn("{{ instruction }}")
builder.add_column(dd.LLMTextColumnConfig(name="evolved", model_alias="m", system_prompt=SYSTEM, prompt=prompt))
builder.add_column(dd.LLMTextColumnConfig(name="answer", model_alias="m", prompt="{{ evolved }}"))
count = len(Path(SEEDS).read_text().splitlines())
found = designer.create(builder, num_records=count, dataset_name="peer").load_dataset()
found.to_json(f"{FOLDER}/result.jsonl", orient="records", lines=True)

"""Evolve and answer each seed with distilabel's EvolInstruct: `run_distilabel.py SEEDS FOLDER CONCURRENCY`."""

from __future__ import annotations

import sys

from common import BASE_URL
from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromFileSystem
from distilabel.steps.tasks import EvolInstruct

if __name__ == "__main__":
    seeds, folder, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3])
    llm = OpenAILLM(
        model="stub", base_url=BASE_URL, api_key="x", generation_kwargs={"temperature": 0.7, "max_new_tokens": 512}
    )
    with Pipeline(name="peer", cache_dir=f"{folder}/cache") as pipeline:
        load = LoadDataFromFileSystem(data_files=seeds, batch_size=concurrency)
        load >> EvolInstruct(llm=llm, num_evolutions=1, generate_answers=True, input_batch_size=concurrency)
    pipeline.run(use_cache=False)["default"]["train"].to_json(f"{folder}/result.jsonl")

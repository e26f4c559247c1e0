"""Evolve and answer each seed with bespokelabs-curator: `run_curator.py SEEDS FOLDER CONCURRENCY`."""

from __future__ import annotations

import os
import sys

from common import BASE_URL, SYSTEM, user_turn

SEEDS, FOLDER, CONCURRENCY = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.environ["CURATOR_CACHE_DIR"] = f"{FOLDER}/cache"

from bespokelabs import curator
from datasets import load_dataset

SAMPLING = {"temperature": 0.7, "top_p": 0.95, "max_tokens": 512}
BACKEND = {
    "base_url": BASE_URL,
    "api_key": "x",
    "max_requests_per_minute": 1_000_000,
    "max_tokens_per_minute": 1_000_000_000,
    "max_concurrent_requests": CONCURRENCY,
    "max_retries": 10,
}


class Evolve(curator.LLM):
    def prompt(self, row):
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user_turn(row["instruction"])}]

    def parse(self, row, response):
        return {"instruction": row["instruction"], "evolved": response.strip()}


class Answer(curator.LLM):
    def prompt(self, row):
        return [{"role": "user", "content": row["evolved"]}]

    def parse(self, row, response):
        return {**row, "answer": response}


if __name__ == "__main__":
    options = {"model_name": "stub", "backend": "openai", "backend_params": BACKEND, "generation_params": SAMPLING}
    seeds = load_dataset("json", data_files=SEEDS, split="train", cache_dir=f"{FOLDER}/hf")
    Answer(**options)(Evolve(**options)(seeds).dataset).dataset.to_json(f"{FOLDER}/result.jsonl")

"""A server of the OpenAI protocol for measuring: a fixed latency, answers made of the question, and counts of both.

An answer is a function of the request alone, so that a run that was killed can be compared with one that was not. With
`--limit` or `--faults` it turns requests away with 429 as a busy server does. Listens on 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import resource
import time
from collections import Counter
from typing import Any

import uvloop
from aiohttp import web

TASK = re.compile(r"<task>\s*(.*?)\s*</task>", re.DOTALL)
GIVEN = re.compile(r"#(?:The )?Given Prompt#:\s*\n(.*?)\n#(?:Rewritten|Created) Prompt#:", re.DOTALL)  # distilabel's
CASE = re.compile(r"K\d{6}")
EXTRA = " State the sources you rely on and keep the answer under two hundred words."
ANSWER = (
    "The answer to case {} begins with the records of the harbour office, which list every tide of the year by hour "
    "and height. A sailor reads the two figures next to the date, adds the local correction, and checks the wind."
)


class Stub:
    """What has been asked and answered since the last reset."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.latency, self.limit, self.faults = arguments.latency_ms / 1000, arguments.limit, arguments.faults
        self.reset()

    def reset(self) -> None:
        self.random = random.Random(7)
        self.asked: Counter[tuple[str, str]] = Counter()
        self.status: Counter[int] = Counter()
        self.times: list[float] = []
        self.busy = self.most = 0
        self.cpu = cpu_seconds()

    async def complete(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        roll = self.random.random()
        if (self.limit and self.busy >= self.limit) or roll < self.faults:
            await asyncio.sleep(self.latency / 4)
            return self.refuse(429)
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.busy -= 1
        if roll < self.faults * 1.2:
            return self.refuse(500)
        texts = [text_of(turn["content"]) for turn in body["messages"]]
        kind, case, text = answer(texts)
        self.asked[kind, case] += 1
        self.status[200] += 1
        self.times.append(time.time())
        prompt, completion = sum(len(text.split()) for text in texts), len(text.split())
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        head = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
        return web.json_response(head | {"choices": [choice], "usage": usage})

    def refuse(self, status: int) -> web.Response:
        self.status[status] += 1
        headers = {"Retry-After": "1"} if status == 429 and not self.limit else {}
        return web.json_response({"error": {"message": "try again"}}, status=status, headers=headers)

    def stats(self) -> dict[str, Any]:
        times = sorted(self.times)
        tenth, count = len(times) // 10, len(times)
        steady = (count - 1 - 2 * tenth) / max(times[-1 - tenth] - times[tenth], 1e-9) if count > 20 else 0.0
        return {
            "answered": count,
            "asked_again": count - len(self.asked),
            "status": self.status,
            "most_at_once": self.most,
            "steady_requests_s": steady,
            "first": times[0] if times else None,
            "last": times[-1] if times else None,
            "cpu_s": cpu_seconds() - self.cpu,
        }


def text_of(content: str | list[dict[str, str]]) -> str:
    """A turn's text, which data-designer sends in parts."""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def answer(turns: list[str]) -> tuple[str, str, str]:
    """Kind, case and text of the answer: an evolved task for a task, an answer for anything else."""
    last = turns[-1] if turns else ""  # curator asks nothing, to see what headers come
    task = TASK.search(last) or GIVEN.search(last)
    cases = CASE.findall(task[1] if task else last) or [""]
    if task is None:
        return "answer", cases[-1], ANSWER.format(cases[-1])
    tagged = any("<instruction>" in turn for turn in turns)
    text = task[1].strip() + EXTRA
    return "evolve", cases[-1], f"<instruction>{text}</instruction>" if tagged else text


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "stub", "object": "model"}]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--limit", type=int, default=0, help="requests at once above which it answers 429; 0 is none")
    parser.add_argument(
        "--faults", type=float, default=0.0, help="share of 429 with Retry-After; and a fifth of it 500"
    )
    stub = Stub(arguments := parser.parse_args())

    async def stats(_: web.Request) -> web.Response:
        return web.json_response(stub.stats())

    async def reset(_: web.Request) -> web.Response:
        stub.reset()
        return web.json_response({})

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", stub.complete)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/stats", stats)
    app.router.add_get("/reset", reset)
    uvloop.install()
    web.run_app(
        app, host="127.0.0.1", port=arguments.port, access_log=None, print=None, backlog=8192, keepalive_timeout=120
    )


if __name__ == "__main__":
    main()

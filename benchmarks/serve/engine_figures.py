#!/usr/bin/env python3
"""Two figures of the engine with the bundled model: what the prefix cache saves, and what a step costs beside the model.

  engine_figures.py [--rounds 5] [--sequences 64] [--out FILE]

Prefix cache: requests whose system prompt of about 1,500 tokens is new, then a second question under the same one; the
ratio of their times to first token. Then a chat of several turns, and how much of each prompt came from the cache.
Engine: `--sequences` at a time decode; from tandem_stage_seconds_total, the share of the engine's time in which it neither
computes the model nor waits for it (sampling, planning, handing tokens over).
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
for folder in ("tests/e2e", "tests/load", "benchmarks/serve"):
    sys.path.insert(0, str(REPOSITORY / folder))
from continuous_batching import processor  # noqa: E402
from sse_client import Connection  # noqa: E402
from tandem_process import BINARY, MODEL, clean_environment, read_metric, serve  # noqa: E402

FORWARD = {"router", "shared_expert", "expert_wait", "wire_wait", "logits"}


async def ask(connection, messages, max_tokens):
    answer = await connection.stream("/v1/chat/completions", {
        "messages": messages, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0,
        "max_tokens": max_tokens})
    if answer.complaint():
        raise SystemExit(answer.complaint())
    return answer


def cached(answer):
    return answer.usage["prompt_tokens_details"]["cached_tokens"]


def long_prompt(words, seed, tokens):
    """About so many tokens: the words of the README have two and a half each."""
    generator = random.Random(seed)
    return " ".join(generator.choice(words) for _ in range(int(tokens / 2.5)))


async def shared_prompts(port, rounds):
    words = Path(MODEL, "README.md").read_text(encoding="utf-8").split()
    connection = Connection(port)
    await ask(connection, [{"role": "user", "content": "What is a dog?"}], 8)
    results = []
    for seed in range(rounds):
        system = {"role": "system", "content": long_prompt(words, seed, 1500)}
        first, second = [await ask(connection, [system, {"role": "user", "content": question}], 8)
                         for question in ("What is a piano?", "What is a river?")]
        results.append({
            "prompt_tokens": first.usage["prompt_tokens"], "cached_first": cached(first), "cached_second": cached(second),
            "ttft_ms_first": round(1e3 * (first.first_token - first.sent), 2),
            "ttft_ms_second": round(1e3 * (second.first_token - second.sent), 2),
        })
    await connection.close()
    return results


async def conversation(port):
    connection = Connection(port)
    messages, turns = [], []
    for noun in ("piano", "river", "castle", "teacher", "bridge"):
        messages.append({"role": "user", "content": f"What is a {noun}?"})
        answer = await ask(connection, messages, 64)
        messages.append({"role": "assistant", "content": answer.text})
        turns.append({"prompt_tokens": answer.usage["prompt_tokens"], "cached_tokens": cached(answer)})
    await connection.close()
    return turns


def stage_seconds(server):
    return {labels["stage"]: value for labels, value in read_metric(server.url, "tandem_stage_seconds_total")}


def engine_cost(server, sequences):
    before = stage_seconds(server)
    subprocess.run([BINARY, "bench", "serve", "--json", "--url", server.url, "--concurrency", str(sequences),
                    "--num-requests", str(20 * sequences), "--input-len", "16", "--output-len", "128", "--temperature", "1"],
                   env=clean_environment(), stdout=subprocess.PIPE, check=True)
    spent = {stage: value - before[stage] for stage, value in stage_seconds(server).items()}
    total = sum(spent.values())
    return {"sequences": sequences, "share_outside_the_forward_pass":
            round(sum(value for stage, value in spent.items() if stage not in FORWARD) / total, 4),
            "shares": {stage: round(value / total, 4) for stage, value in spent.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report = {"benchmark": "prefix cache and engine cost, pocket-dictionary", "processor": processor()}
    with tempfile.TemporaryDirectory() as folder:
        with serve(Path(folder, "log"), "--log-level", "warning", workers=2) as server:
            report["shared_system_prompt"] = asyncio.run(shared_prompts(server.port, options.rounds))
            report["conversation"] = asyncio.run(conversation(server.port))
        report["engine"] = []
        for workers in (0, 2):
            with serve(Path(folder, "log"), "--log-level", "warning", workers=workers) as server:
                report["engine"].append({"expert_workers": workers} | engine_cost(server, options.sequences))
    report["ttft_ratio"] = round(statistics.median(
        one["ttft_ms_first"] / one["ttft_ms_second"] for one in report["shared_system_prompt"]), 2)
    print(json.dumps(report, indent=2))
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

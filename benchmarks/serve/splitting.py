#!/usr/bin/env python3
"""What splitting a model costs on one machine: a router with local expert workers against experts inside the router.

  splitting.py MODEL [--transports shm,grpc] [--batches 1,8,16,32] [--rounds 3] [--run-with COMMAND] [--out FILE]

MODEL is any checkpoint, for example tools/make_synthetic.py olmoe-1b-7b DIR --layers 8. For each transport two services
stay up, one whole and one split, both with their default threads; `tandem bench serve` in a closed loop of BATCH
requests at a time loads them by turns, A B B A. Both get the same prompts, new ones each time, and so do the same work. Ratios
are medians over the rounds of split / whole in one round: tokens/s with prompts included, decode alone (time per output
token), and mean time to first token (prompts of a large batch take several steps, so that the median one jumps from one
step's end to the next one's). Both services together must fit into memory. COMMAND is put before every run of the
load, for example one that waits until nothing else runs.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "e2e"))
sys.path.insert(0, str(Path(__file__).parent))
from continuous_batching import processor  # noqa: E402
from tandem_process import BINARY, clean_environment, serve  # noqa: E402


def load(service, options, batch, seed):
    """A closed loop of `batch` requests at a time, enough of them for a median of their first tokens: its report."""
    requests = max(batch, options.least_requests)
    done = subprocess.run(
        [*options.run_with, BINARY, "bench", "serve", "--json", "--url", service.url, "--concurrency", str(batch),
         "--num-requests", str(requests), "--input-len", str(options.input_len), "--output-len", str(options.output_len),
         "--seed", str(seed)],
        env=clean_environment(), stdout=subprocess.PIPE, text=True, check=True)
    report = json.loads(done.stdout)
    if report["completed"] != requests or report["output_tokens"] != requests * options.output_len:
        raise SystemExit(f"not every request was answered in full: {report}")
    return {"tokens_per_second": report["output_tokens_per_second"], "ttft_ms": report["ttft_ms"]["mean"],
            "decode_tokens_per_second": batch * 1000 / report["tpot_ms"]["p50"]}


def start(stack, folder, options, workers, transport):
    return stack.enter_context(
        serve(Path(folder, f"{transport}-{workers}.log"), "--log-level", "warning", "--expert-transport", transport,
              "--max-model-len", 1024, "--kv-cache-memory", options.kv_cache_memory, workers=workers,
              model=options.model, wait=False))


def compare(options, transport):
    """Runs by batch: {batch: [(whole, split) of each round]}."""
    runs = {batch: [] for batch in options.batches}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        services = [start(stack, folder, options, workers, transport) for workers in (0, options.expert_workers)]
        for service in services:
            service.wait_until(service.healthy, "readiness", patience=options.patience)
            load(service, options, min(options.batches), seed=1)  # page faults, thread wake-ups
        for number in range(options.rounds):
            for batch in options.batches:
                order = services if number % 2 == 0 else services[::-1]
                seed = 100 * (number + 1) + batch
                reports = {id(service): load(service, options, batch, seed) for service in order}
                whole, split = (reports[id(service)] for service in services)
                runs[batch].append((whole, split))
                print(f"{transport}, batch {batch:3}: {whole['tokens_per_second']:7.2f} tokens/s whole, "
                      f"{split['tokens_per_second']:7.2f} split; to the first token {whole['ttft_ms']:8.1f} ms and "
                      f"{split['ttft_ms']:8.1f} ms", flush=True)
    return runs


def summary(transport, batch, runs):
    def ratio(field):
        return round(statistics.median(split[field] / whole[field] for whole, split in runs), 3)

    return {
        "transport": transport, "batch": batch, "tokens_per_second_ratio": ratio("tokens_per_second"),
        "decode_ratio": ratio("decode_tokens_per_second"), "ttft_ratio": ratio("ttft_ms"),
        "whole": [{field: round(value, 2) for field, value in whole.items()} for whole, _ in runs],
        "split": [{field: round(value, 2) for field, value in split.items()} for _, split in runs],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--transports", type=lambda text: text.split(","), default=["shm", "grpc"])
    parser.add_argument("--batches", type=lambda text: [int(n) for n in text.split(",")], default=[1, 8, 16, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--least-requests", type=int, default=4, help="of each run; a batch smaller than that repeats")
    parser.add_argument("--input-len", type=int, default=32)
    parser.add_argument("--output-len", type=int, default=64)
    parser.add_argument("--expert-workers", type=int, default=2)
    parser.add_argument("--kv-cache-memory", default="512MiB", help="of each service")
    parser.add_argument("--patience", type=int, default=600, help="seconds that loading may take")
    parser.add_argument("--run-with", type=shlex.split, default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    results = [summary(transport, batch, runs) for transport in options.transports
               for batch, runs in compare(options, transport).items()]
    for result in results:
        print(f"{result['transport']}, batch {result['batch']:3}: {result['tokens_per_second_ratio']:.3f} of the "
              f"tokens/s, {result['decode_ratio']:.3f} in decode alone, {result['ttft_ratio']:.3f} times the time to "
              "the first token")
    commit = subprocess.run(["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False)
    report = {"benchmark": "one router with local expert workers against experts inside the router, interleaved",
              "processor": processor(), "commit": commit.stdout.strip(), "model": options.model.resolve().name,
              "expert_workers": options.expert_workers, "input_len": options.input_len,
              "output_len": options.output_len, "rounds": options.rounds, "results": results}
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

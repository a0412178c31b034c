#!/usr/bin/env python3
"""What continuous batching gains: tokens/s over HTTP with many requests at a time against one at a time, A B A B in one run.

  continuous_batching.py MODEL [--sequences 32] [--rounds 3] [--input-len 32] [--output-len 64] [--out FILE]

MODEL is any checkpoint, for example tools/make_synthetic.py olmoe-1b-7b DIR --layers 8. One server, started here, stays up for
all rounds; `tandem bench serve` in a closed loop is the load. Every run has prompts of its own, so that none comes from
the prefix cache. The ratio is that of the medians; prompts are part of the time on both sides.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "e2e"))
from tandem_process import BINARY, clean_environment, serve  # noqa: E402


def processor():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def bench(server, options, concurrency, requests, seed):
    """One run of the load generator: its report."""
    done = subprocess.run(
        [BINARY, "bench", "serve", "--json", "--url", server.url, "--concurrency", str(concurrency), "--num-requests",
         str(requests), "--input-len", str(options.input_len), "--output-len", str(options.output_len), "--seed", str(seed)],
        env=clean_environment(), stdout=subprocess.PIPE, text=True, check=True)
    report = json.loads(done.stdout)
    if report["completed"] != requests or report["output_tokens"] != requests * options.output_len:
        raise SystemExit(f"not every request was answered in full: {report}")
    if report["doubts"]:
        print(report["doubts"], file=sys.stderr)
    return report


def measure(server, options):
    """Alternating runs: the reports one at a time, and together."""
    bench(server, options, options.sequences, options.sequences, seed=1)  # page faults, thread wake-ups
    alone, together = [], []
    for number in range(options.rounds):
        seed = 10 * (number + 1)
        alone.append(bench(server, options, 1, options.alone_requests, seed))
        together.append(bench(server, options, options.sequences, 2 * options.sequences, seed + 1))
        print(f"round {number + 1}: {alone[-1]['output_tokens_per_second']:8.1f} tokens/s one at a time, "
              f"{together[-1]['output_tokens_per_second']:8.1f} tokens/s {options.sequences} at a time", flush=True)
    return alone, together


def summary(reports):
    def median(value):
        return round(statistics.median(value(report) for report in reports), 2)

    return {
        "output_tokens_per_second": median(lambda report: report["output_tokens_per_second"]),
        "ttft_ms_p50": median(lambda report: report["ttft_ms"]["p50"]),
        "tpot_ms_p50": median(lambda report: report["tpot_ms"]["p50"]),
        "itl_ms_p99": median(lambda report: report["itl_ms"]["p99"]),
        "runs_tokens_per_second": [round(report["output_tokens_per_second"], 2) for report in reports],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone-requests", type=int, default=4, help="requests of a run one at a time")
    parser.add_argument("--input-len", type=int, default=32)
    parser.add_argument("--output-len", type=int, default=64)
    parser.add_argument("--expert-workers", type=int, default=0)
    parser.add_argument("--patience", type=int, default=600, help="seconds that loading may take")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with serve(Path(folder, "log"), "--log-level", "warning", workers=options.expert_workers, model=options.model,
                   wait=False) as server:
            server.wait_until(server.healthy, "readiness", patience=options.patience)
            alone, together = measure(server, options)
    commit = subprocess.run(["git", "-C", REPOSITORY, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False)
    report = {
        "benchmark": "continuous batching over HTTP, closed loops, interleaved", "processor": processor(),
        "commit": commit.stdout.strip(), "model": options.model.resolve().name, "expert_workers": options.expert_workers,
        "sequences": options.sequences, "input_len": options.input_len, "output_len": options.output_len,
        "rounds": options.rounds, "one_at_a_time": summary(alone), "together": summary(together),
    }
    report["ratio"] = round(report["together"]["output_tokens_per_second"] /
                            report["one_at_a_time"]["output_tokens_per_second"], 2)
    print(f"{options.sequences} at a time give {report['ratio']:.2f} times the tokens/s of one at a time")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Encoding speed of our tokenizer and of the `tokenizers` library, one thread each, alternating A B A B in one run.

  compare_speed.py --binary PATH/tokenizer_benchmark [--shared DIR] [--bytes N] [--rounds N] [--out FILE]

Two texts per tokenizer: `mixed` (the hard corpus of the peer tests, code and all scripts) and `english` (plain prose and
code). The ratio is theirs / ours of the median seconds: above 1 we are faster. Id counts have to agree.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/tokenizer"))
import corpus  # noqa: E402


def mixed(total_bytes):
    return "".join(corpus.documents(total_bytes, seed=11))


def english(total_bytes):
    """The bundled model's documentation and questions, and C++ and Python sources of the repository, repeated."""
    files = sorted([*REPOSITORY.glob("models/*/*.md"), *REPOSITORY.glob("models/*/*.txt"),
                    *REPOSITORY.glob("model/tokenizer/*.cc"), *REPOSITORY.glob("model/tokenizer/*.h")])
    text = "".join(path.read_text() for path in files)
    return (text * (total_bytes // len(text) + 1))[:total_bytes]


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def measure(binary, model_dir, text, rounds):
    start = time.perf_counter()
    peer = tokenizers.Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    their_load = time.perf_counter() - start
    ours, theirs = [], []
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        process = subprocess.Popen([binary, str(model_dir), file.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True)
        our_load = float(process.stdout.readline())
        for _ in range(rounds + 1):
            process.stdin.write("run\n")
            process.stdin.flush()
            seconds, ids = process.stdout.readline().split()
            ours.append(float(seconds))
            start = time.perf_counter()
            their_ids = len(peer.encode(text).ids)
            theirs.append(time.perf_counter() - start)
            assert int(ids) == their_ids, f"{ids} ids here, {their_ids} there"
        process.stdin.close()
        process.wait()
    size = len(text.encode())
    # The first round warms the word caches up: it counts as the cold ratio alone.
    our_median, their_median = statistics.median(ours[1:]), statistics.median(theirs[1:])
    return {"bytes": size, "ids": their_ids, "ours_mb_per_s": round(size / our_median / 1e6, 2),
            "theirs_mb_per_s": round(size / their_median / 1e6, 2), "ratio": round(their_median / our_median, 2),
            "cold_ratio": round(theirs[0] / ours[0], 2),
            "ours_seconds": [round(s, 4) for s in ours], "theirs_seconds": [round(s, 4) for s in theirs],
            "ours_load_seconds": round(our_load, 3), "theirs_load_seconds": round(their_load, 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--shared", type=pathlib.Path,
                        default=os.environ.get("TANDEM_SHARED", REPOSITORY.parent / "shared"))
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    directories = [REPOSITORY / "models/pocket-dictionary"]
    published = pathlib.Path(options.shared) / "fixtures/tokenizers"
    if published.is_dir():
        directories += sorted(published.iterdir())
    results = {}
    for directory in directories:
        for make in (mixed, english):
            result = measure(options.binary, directory, make(options.bytes), options.rounds)
            results.setdefault(directory.name, {})[make.__name__] = result
            print(f"{directory.name:20} {make.__name__:8} ours {result['ours_mb_per_s']:7.2f} MB/s  theirs "
                  f"{result['theirs_mb_per_s']:6.2f} MB/s  ratio {result['ratio']:6.2f} (cold {result['cold_ratio']:6.2f})  load {result['ours_load_seconds']} s "
                  f"vs {result['theirs_load_seconds']} s", flush=True)
    commit = subprocess.run(["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    report = {"benchmark": "tokenizer encode, one thread, interleaved", "processor": processor(), "peer": "tokenizers " +
              tokenizers.__version__, "commit": commit.stdout.strip(), "rounds": options.rounds, "results": results}
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

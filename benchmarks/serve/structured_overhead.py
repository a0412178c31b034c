#!/usr/bin/env python3
"""What structured output costs per token: the bundled model, sixteen sequences at a time, free and under a constraint.

  structured_overhead.py [--rounds 9] [--sequences 16] [--workers 0] [--out FILE]

Every round asks for the same number of tokens free and under each form, one after the other; the overhead of a form is the
median over the rounds of (time per token under it / time per token free) - 1. The forms never end before the tokens do.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
for folder in ("tests/e2e", "benchmarks/serve"):
    sys.path.insert(0, str(REPOSITORY / folder))
from continuous_batching import processor  # noqa: E402
from tandem_process import serve  # noqa: E402

ENTRY = {"type": "object", "additionalProperties": False, "required": ["name", "kind", "size", "tags"], "properties": {
    "name": {"type": "string", "minLength": 3, "maxLength": 24}, "kind": {"enum": ["animal", "tool", "place"]},
    "size": {"type": "integer", "minimum": 0, "maximum": 5000},
    "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2,9}$"}, "maxItems": 4}}}
FORMS = {
    "free": {},
    "string": {"guided_json": {"type": "string", "minLength": 5000}},
    "array of objects": {"guided_json": {"type": "array", "items": ENTRY, "minItems": 500}},
    "regex": {"guided_regex": "([A-Z][a-z]{1,9} [0-9]{2,4}(\\.[0-9]{2})? (EUR|USD); ){400}"},
}


def ask(url, form, seed, tokens):
    body = {"messages": [{"role": "user", "content": "What is a piano?"}], "temperature": 1, "max_tokens": tokens,
            "ignore_eos": True, "seed": seed} | FORMS[form]
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["usage"]["completion_tokens"]


def seconds_per_token(url, form, sequences, tokens):
    start = time.perf_counter()
    with ThreadPoolExecutor(sequences) as clients:
        count = sum(clients.map(lambda seed: ask(url, form, seed, tokens), range(2 * sequences)))
    if count != 2 * sequences * tokens:
        raise SystemExit(f"{form}: {count} tokens instead of {2 * sequences * tokens}; a form ended early")
    return (time.perf_counter() - start) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    measured = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory() as folder:
        with serve(Path(folder, "log"), "--log-level", "warning", workers=options.workers) as server:
            for form in FORMS:
                seconds_per_token(server.url, form, options.sequences, options.tokens)
            for done in range(options.rounds):
                for form, values in measured.items():
                    values.append(seconds_per_token(server.url, form, options.sequences, options.tokens))
                print(f"round {done + 1} of {options.rounds}", file=sys.stderr, flush=True)
    report = {"benchmark": "structured output over HTTP, pocket-dictionary", "processor": processor(),
              "sequences": options.sequences, "expert_workers": options.workers,
              "microseconds_per_token": {form: round(1e6 * statistics.median(values), 2)
                                         for form, values in measured.items()},
              "overhead": {form: round(statistics.median(a / b for a, b in zip(values, measured["free"])) - 1, 4)
                           for form, values in measured.items() if form != "free"}}
    print(json.dumps(report, indent=2))
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

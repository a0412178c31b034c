#!/usr/bin/env python3
"""Feeds damaged chat templates to Tandem's template engine: it must answer every one with text or an error.

    tests/chat_templates/fuzz.py build/asan/tests/chat_templates/tests_render_jobs [--rounds 2000] [--seed 1]

Cuts published templates short, drops, doubles and swaps pieces of them, and splices two together; the conversations are
those of conversations.py. Best run against a build with sanitizers. Needs no Python package.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import sys

import conversations

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("TANDEM_SHARED", ROOT.parent / "shared"))
TOKEN = re.compile(r"\{[%{#]-?|-?[%}#]\}|\w+|\s+|.", re.DOTALL)
SPICE = ["{%", "%}", "{{", "}}", "{#", "-", "(", ")", "[", "]", "|", ".", "if", "for", "loop", "loop(", "none", "'", '"',
         "\\", "99999999999999999999", "-1", "1e308", "*", "**", "//", "%", "~", "|list", "|tojson(indent=9)", "|int",
         "[::-1]", "[1:]", ".items()", ".split('')", "namespace(", "caller()", "\u00e9", "\U0001f642", "\x00"]


def damage(sources, rng):
    tokens = TOKEN.findall(rng.choice(sources))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(tokens) + 1)
        end = min(len(tokens), at + rng.randint(0, 8))
        kind = rng.randrange(6)
        if kind == 0:
            tokens = tokens[:at]
        elif kind == 1:
            tokens = tokens[:at] + tokens[end:]
        elif kind == 2:
            tokens = tokens[:end] + tokens[at:]
        elif kind == 3:
            tokens.insert(at, rng.choice(SPICE))
        elif kind == 4 and tokens:
            tokens[min(at, len(tokens) - 1)] = rng.choice(tokens)
        else:
            other = TOKEN.findall(rng.choice(sources))
            tokens = tokens[:at] + other[rng.randrange(len(other)):]
    return "".join(tokens)[:200_000]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sources = [path.read_text(encoding="utf-8") for path in sorted((SHARED / "fixtures" / "chat_templates").glob("*.jinja"))]
    if not sources:
        print(f"no chat templates in {SHARED}; set TANDEM_SHARED", file=sys.stderr)
        return 0
    rng = random.Random(arguments.seed)
    cases = [given for _, given in conversations.variables()]
    process = subprocess.Popen([arguments.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    outcomes = collections.Counter()
    for number in range(arguments.rounds):
        job = {"source": damage(sources, rng), "input": rng.choice(cases), "trusted": conversations.TRUSTED}
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            print(f"seed {arguments.seed}, round {number}: the engine died on {json.dumps(job)}")
            return 1
        outcomes[json.loads(line).get("code", "text")] += 1
    print(f"{arguments.rounds} templates:", ", ".join(f"{count} {code}" for code, count in outcomes.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

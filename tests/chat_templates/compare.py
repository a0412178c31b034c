#!/usr/bin/env python3
"""Compares Tandem's template engine with Jinja2, byte for byte.

    tests/chat_templates/compare.py build/release/tests/chat_templates/tests_render_jobs [--only NAME] [--verbose]

Renders every published chat template with every conversation of conversations.py, and every snippet of snippets.py, on
both sides. They agree when both give the same text or both refuse; where the template itself raises, the message must be
the same too. Needs the Python package jinja2 (3.1.6). The templates are read from $TANDEM_SHARED/fixtures/chat_templates,
by default shared/ beside the checkout; without them only the snippets run.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys

import conversations
import reference
import snippets

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("TANDEM_SHARED", ROOT.parent / "shared"))


class Engine:
    """The program under test, one job at a time."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def render(self, source, given, trusted):
        self.process.stdin.write(json.dumps({"source": source, "input": given, "trusted": trusted}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the engine died on {source[:200]!r} with {json.dumps(given)[:500]}")
        return json.loads(line)


def difference(expected, refusal, answer):
    """What is wrong with the engine's answer, or None."""
    if refusal is None and "error" in answer:
        return f"refused: {answer['error']}"
    if refusal is not None and "error" not in answer:
        return f"should refuse ({refusal}), gave {answer['text'][-80:]!r}"
    if refusal is not None:
        kind, _, message = refusal.partition(": ")
        raised = kind == "TemplateError" and message not in answer["error"]
        return f"raised {answer['error']!r} instead of {message!r}" if raised else None
    if expected != answer["text"]:
        at = next((i for i, (a, b) in enumerate(zip(expected, answer["text"])) if a != b), min(len(expected), len(answer["text"])))
        return f"differs at {at}: expected {expected[max(at - 30, 0):at + 40]!r}, got {answer['text'][max(at - 30, 0):at + 40]!r}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--only", default="", help="templates whose name contains this")
    parser.add_argument("--verbose", action="store_true", help="every difference, not the first of each template")
    arguments = parser.parse_args()
    engine = Engine(arguments.program)
    table = collections.OrderedDict()

    def check(group, label, source, given, trusted):
        expected, refusal = reference.render(source, {**trusted, **given})
        wrong = difference(expected, refusal, engine.render(source, given, trusted))
        row = table.setdefault(group, {"same text": 0, "both refuse": 0, "differ": []})
        if wrong is not None:
            row["differ"].append(f"{label}: {wrong}")
        else:
            row["same text" if refusal is None else "both refuse"] += 1

    if arguments.only in "snippets":
        for source in snippets.SNIPPETS:
            check("snippets", repr(source), source, snippets.VARIABLES, {})
    templates = sorted((SHARED / "fixtures" / "chat_templates").glob("*.jinja"))
    if not templates:
        print(f"no chat templates in {SHARED}; set TANDEM_SHARED", file=sys.stderr)
    for path in templates:
        if arguments.only in path.name:
            source = path.read_text(encoding="utf-8")
            for label, given in conversations.variables():
                check(path.name, label, source, given, conversations.TRUSTED)

    width = max(map(len, table), default=0)
    print(f"{'template':{width}}  same text  both refuse  differ")
    for name, row in table.items():
        print(f"{name:{width}}  {row['same text']:9}  {row['both refuse']:11}  {len(row['differ']):6}")
        for line in row["differ"][: None if arguments.verbose else 3]:
            print("    " + line)
    total = {key: sum(row[key] for row in table.values()) for key in ("same text", "both refuse")}
    differ = sum(len(row["differ"]) for row in table.values())
    print(f"{len(table)} groups: {total['same text']} same text, {total['both refuse']} both refuse, {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())

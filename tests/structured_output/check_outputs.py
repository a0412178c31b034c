#!/usr/bin/env python3
"""Checks that constrained answers are what they were constrained to, with random logits and real tokenizers.

    check_outputs.py --tool PATH/structured_output_tool [--schemas N] [--seed N] [--shared DIR] [--only NAME]

N random JSON schemas (random_schemas.py) and a list of hand-written ones: every answer must parse and validate with
`jsonschema`, formats included. Regular expressions and choices are checked with `re`, grammars with a matcher each; what
is not supported must be refused with the place. Prints a table; the exit code is 1 if anything is wrong.
"""

import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys

import jsonschema

import known_cases
import random_schemas

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
MIN_FINISHED = 0.97  # random answers may go on through recursive schemas; the others are checked as far as they got
MAX_REPORTS = 10


class Tool:
    def __init__(self, program, model_dir):
        self.process = subprocess.Popen([program, str(model_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, job):
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the tool died on {json.dumps(job)[:2000]}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def schema_fault(schema, text):
    """Why the text is not an instance of the schema, or None."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"does not parse: {error}"
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "has a lone surrogate"
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema, format_checker=CHECKER).iter_errors(value))
    return None if error is None else f"does not validate: {error.message[:300]} (at {error.json_path})"


class Section:
    """One row of the table."""

    def __init__(self, tool, name, limits):
        self.tool, self.name, self.limits = tool, name, limits
        self.jobs = self.outputs = self.finished = self.tokens = self.refused = 0
        self.faults = []

    def check(self, kind, value, fault):
        """Runs one job and checks every output. Returns whether the job was accepted."""
        self.jobs += 1
        answer = self.tool.run({"kind": kind, "value": value, **self.limits})
        if "error" in answer:
            self.refused += 1
            self.last_error = answer["error"]
            return False
        for wrong in answer["wrong"][:3]:
            self.faults.append(f"{wrong}: {json.dumps(value)[:1000]}")
        for output in answer["outputs"]:
            self.outputs += 1
            self.tokens += output["tokens"]
            self.finished += output["finished"]
            wrong = fault(output["text"]) if output["finished"] else None
            if wrong is not None:
                self.faults.append(f"{wrong}\n      value {json.dumps(value)[:1500]}\n      output {output['text'][:500]!r}")
        return True

    def must_accept(self, kind, value, fault):
        if not self.check(kind, value, fault):
            self.faults.append(f"refused: {self.last_error}\n      value {json.dumps(value)[:1500]}")

    def must_refuse(self, kind, value, mentioned):
        if self.check(kind, value, lambda text: None):
            self.faults.append(f"should be refused ({mentioned}): {json.dumps(value)[:500]}")
        elif mentioned not in self.last_error:
            self.faults.append(f"should mention {mentioned!r}: {self.last_error}")

    def finish(self):
        if self.outputs and self.finished < MIN_FINISHED * self.outputs:
            self.faults.append(f"only {self.finished} of {self.outputs} answers ended")
        print(f"{self.name:34} {self.jobs:6} {self.refused:7} {self.outputs:8} {self.finished:8} {self.tokens:8} "
              f"{len(self.faults):6}")
        for fault in self.faults[:MAX_REPORTS]:
            print("    " + fault)
        return not self.faults


def check_random_schemas(section, count, seed):
    for index in range(count):
        schema = random_schemas.Schemas(random.Random(seed + index)).document()
        jsonschema.Draft202012Validator.check_schema(schema)
        accepted = section.check("json_schema", schema, lambda text, schema=schema: schema_fault(schema, text))
        if not accepted and not known_cases.may_be_refused(section.last_error):
            section.faults.append(f"refused: {section.last_error}\n      value {json.dumps(schema)[:1500]}")
    if section.refused > count // 10:
        section.faults.append(f"{section.refused} of {count} schemas were refused")


def check_known(section):
    for schema in known_cases.SCHEMAS:
        section.must_accept("json_schema", schema, lambda text, schema=schema: schema_fault(schema, text))
    section.must_accept("json_object", None, lambda text: schema_fault({"type": "object"}, text))
    for schema, place in known_cases.REFUSED_SCHEMAS:
        section.must_refuse("json_schema", schema, place)


def check_texts(section):
    for pattern in known_cases.REGEXES:
        section.must_accept("regex", pattern, lambda text, pattern=pattern: None if re.fullmatch(pattern, text)
                            else "does not match")
    for pattern, mentioned in known_cases.REFUSED_REGEXES:
        section.must_refuse("regex", pattern, mentioned)
    for choices in known_cases.CHOICES:
        section.must_accept("choice", choices, lambda text, choices=choices: None if text in choices else "is no choice")
    for grammar, is_right in known_cases.GRAMMARS:
        section.must_accept("grammar", grammar, lambda text, is_right=is_right: None if is_right(text) else "is not in it")
    for grammar, mentioned in known_cases.REFUSED_GRAMMARS:
        section.must_refuse("grammar", grammar, mentioned)


def models(shared):
    """Name, directory, and how many random schemas in relation to the first."""
    yield "pocket-dictionary", ROOT / "models" / "pocket-dictionary", 1.0
    for name in ("qwen3", "llama2"):
        directory = shared / "fixtures" / "tokenizers" / name
        if directory.exists():
            yield name, directory, 0.1
        else:
            print(f"{name}: not in {shared}, skipped; set TANDEM_SHARED", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--schemas", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shared", type=pathlib.Path, default=os.environ.get("TANDEM_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--only", default="", help="tokenizers whose name contains this")
    arguments = parser.parse_args()
    print(f"{'':34} {'jobs':>6} {'refused':>7} {'answers':>8} {'finished':>8} {'tokens':>8} {'faults':>6}")
    ok = True
    for name, directory, share in models(pathlib.Path(arguments.shared)):
        if arguments.only not in name:
            continue
        tool = Tool(arguments.tool, directory)
        large = share < 1
        limits = {"seeds": [1] if large else [1, 2], "temperatures": [0.3, 1.5], "max_tokens": 40}
        section = Section(tool, f"{name}: random schemas", limits)
        check_random_schemas(section, int(arguments.schemas * share), arguments.seed)
        ok = section.finish() and ok
        for label, check in (("schemas", check_known), ("regex, choice, grammar", check_texts)):
            section = Section(tool, f"{name}: {label}", {**limits, "seeds": [1] if large else [1, 2, 3]})
            check(section)
            ok = section.finish() and ok
        ok = tool.close() == 0 and ok
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())

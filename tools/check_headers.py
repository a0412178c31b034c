#!/usr/bin/env python3
"""Compiles every public header alone, so that each one includes what it uses: tools/check_headers.py BUILD_DIR

Flags are those of a source beside the header in compile_commands.json, without the precompiled header. Headers that
Highway includes again for each instruction set (*_inl.h) are no headers in this sense.
"""

import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("base", "compute", "model", "transport", "scheduler", "router", "expert_worker", "cli")
DROPPED_WITH_VALUE = ("-o", "-c", "-include", "-MF", "-MT", "-MQ")
KEPT_PREFIXES = ("-I", "-D", "-std", "-f", "-W", "-m", "-pthread")


def flags_by_folder(build):
    """Folder -> compiler and flags of one source in it."""
    result = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        source = Path(entry["file"])
        if not source.is_relative_to(ROOT) or source.is_relative_to(build):
            continue
        words = shlex.split(entry["command"])
        compiler = next(i for i, word in enumerate(words) if word.endswith(("c++", "g++", "clang++")))
        flags, skip = [], False
        for i, word in enumerate(words[compiler + 1:], start=compiler + 1):
            if skip:
                skip = False
            elif word in DROPPED_WITH_VALUE:
                skip = True
            elif word == "-isystem":
                flags += [word, words[i + 1]]
                skip = True
            elif word.startswith(KEPT_PREFIXES) and word not in ("-Winvalid-pch", "-fpch-preprocess"):
                flags.append(word)
        # The longest command of a folder has the most include paths: it suits all of its headers.
        folder = source.parent.relative_to(ROOT)
        known = result.get(folder)
        if known is None or len(flags) > len(known) - 1:
            result[folder] = [words[compiler], *flags]
    return result


def compile_header(header, command):
    done = subprocess.run(
        [*command, "-fsyntax-only", "-x", "c++", "-"], input=f'#include "{header.relative_to(ROOT)}"\n',
        cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    flags = flags_by_folder(Path(sys.argv[1]).resolve())
    jobs = []
    for folder in FOLDERS:
        for header in sorted((ROOT / folder).rglob("*.h")):
            place = next((p for p in header.relative_to(ROOT).parents if p in flags), None)
            if place is not None and not header.name.endswith("_inl.h"):
                jobs.append((header, flags[place]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda job: compile_header(*job), jobs))
    failures = [(header, text) for (header, _), (status, text) in zip(jobs, results) if status != 0]
    for header, text in failures:
        print(f"{header.relative_to(ROOT)} does not compile alone:\n{text}")
    print(f"headers: {len(jobs)} compiled alone, {len(failures)} failed")
    return 1 if failures or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())

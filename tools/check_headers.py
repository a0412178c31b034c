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
KEPT_PREFIXES = ("-D", "-std", "-f", "-W", "-m", "-pthread")
DROPPED = ("-Winvalid-pch", "-fpch-preprocess")


def split_command(command):
    """(compiler, flags, include paths) of a command line; outputs and the precompiled header are left out."""
    words = shlex.split(command)
    compiler = next(i for i, word in enumerate(words) if word.endswith(("c++", "g++", "clang++")))
    flags, paths = [], []
    for word, value in zip(words[compiler + 1:], words[compiler + 2:] + [""]):
        if word == "-isystem":
            paths.append((word, value))
        elif word.startswith("-I"):
            paths.append((word,))
        elif word.startswith(KEPT_PREFIXES) and word not in DROPPED:
            flags.append(word)
    return words[compiler], flags, paths


def commands_by_folder(build):
    """Folder -> compiler and flags of one of its sources, with the include paths of all of them and of the folder above,
    whose sources include the headers of a testing/ folder."""
    commands, paths_by_folder = {}, {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        source = Path(entry["file"])
        if source.is_relative_to(ROOT) and not source.is_relative_to(build):
            folder = source.parent.relative_to(ROOT)
            compiler, flags, paths = split_command(entry["command"])
            commands.setdefault(folder, [compiler, *flags])
            paths_by_folder.setdefault(folder, {}).update(dict.fromkeys(paths))
    return {folder: command + [word for path in paths_by_folder[folder] | paths_by_folder.get(folder.parent, {})
                               for word in path]
            for folder, command in commands.items()}


def compile_header(header, command):
    done = subprocess.run(
        [*command, "-fsyntax-only", "-x", "c++", "-"], input=f'#include "{header.relative_to(ROOT)}"\n',
        cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    commands = commands_by_folder(Path(sys.argv[1]).resolve())
    jobs = []
    for folder in FOLDERS:
        for header in sorted((ROOT / folder).rglob("*.h")):
            folder = next((p for p in header.relative_to(ROOT).parents if p in commands), None)
            if folder is not None and not header.name.endswith("_inl.h"):
                jobs.append((header, commands[folder]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda job: compile_header(*job), jobs))
    failures = [(header, text) for (header, _), (status, text) in zip(jobs, results) if status != 0]
    for header, text in failures:
        print(f"{header.relative_to(ROOT)} does not compile alone:\n{text}")
    print(f"headers: {len(jobs)} compiled alone, {len(failures)} failed")
    return 1 if failures or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())

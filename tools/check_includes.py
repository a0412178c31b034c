#!/usr/bin/env python3
"""Checks the include rule of the house over every C++ source, and fails with file:line and the rule that is broken.

    tools/check_includes.py [ROOT]

Includes point down only:

    4  cli
    3  router   expert_worker   scheduler/control_plane
    2  transport   model
    1  compute   proto   scheduler
    0  base

A folder may include itself and any lower level, never its own level. tests/ and benchmarks/ may include anything and
are included by nobody. Besides: gRPC and protobuf stop at the folders in PROTOBUF_ALLOWED, backends of compute/ are
named by cli/ alone, headers have #pragma once, project headers are written "folder/file.h" from the root, and every
source is named in the CMakeLists.txt that governs it, so that none is silently left out of the build.
"""

import re
import sys
from pathlib import Path

LEVELS = {
    "cli": 4,
    "router": 3,
    "expert_worker": 3,
    "scheduler/control_plane": 3,
    "transport": 2,
    "model": 2,
    "compute": 1,
    "proto": 1,
    "scheduler": 1,
    "base": 0,
}
FREE = ("tests", "benchmarks")

PROTOBUF_HEADER = re.compile(r"^(grpc|grpcpp|google/protobuf)/|\.pb\.h$")
PROTOBUF_ALLOWED = re.compile(
    r"^(transport/|proto/|cli/|scheduler/control_plane/|tests/|benchmarks/"
    r"|router/(.*/)?grpc_api[^/]*$|expert_worker/(.*/)?[^/]*(server|service)[^/]*$)"
)
BACKEND_HEADER = re.compile(r"^compute/(cpu|cuda)/")
BACKEND_ALLOWED = re.compile(r"^(compute/|cli/|tests/|benchmarks/)|/testing/|_test\.cc$")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
PRAGMA_ONCE = re.compile(r"^\s*#\s*pragma\s+once\b", re.MULTILINE)
# Highway compiles its *_inl.h once per instruction set; they toggle their own guard instead.
REINCLUDED = "HWY_TARGET_TOGGLE"
SOURCE_SUFFIXES = (".cc", ".cu")
SUFFIXES = (".h", ".cuh", *SOURCE_SUFFIXES)


def folder_of(path):
    """The key of LEVELS or FREE that owns a path relative to the root, or None for foreign paths."""
    if path.startswith("scheduler/control_plane/"):
        return "scheduler/control_plane"
    if path.endswith(".pb.h"):
        return "proto"
    top = path.split("/", 1)[0]
    return top if top in LEVELS or top in FREE else None


def layering_error(source, header):
    """Why `source` may not include `header` (both relative to the root), or None."""
    source_folder, header_folder = folder_of(source), folder_of(header)
    if PROTOBUF_HEADER.search(header) and not PROTOBUF_ALLOWED.search(source):
        return "gRPC and protobuf headers stop at transport/, router/grpc_api*, expert_worker/*{server,service}*"
    if header_folder is None or source_folder in FREE or source_folder == header_folder:
        return None
    if header_folder in FREE:
        return f"nothing outside {header_folder}/ may include it"
    if BACKEND_HEADER.search(header) and not BACKEND_ALLOWED.search(source):
        return "callers see compute/backend.h; which backend it is, cli/ alone decides"
    if LEVELS[header_folder] > LEVELS[source_folder]:
        return f"{source_folder}/ must not include upwards into {header_folder}/"
    if LEVELS[header_folder] == LEVELS[source_folder]:
        return f"{source_folder}/ and {header_folder}/ are on one level and must not include each other"
    return None


def style_error(root, source, quote, header):
    """Why the include is badly written, or None."""
    if header.startswith(".") or "/../" in header:
        return 'write includes from the repository root, without ".."'
    if quote == "<" and folder_of(header) is not None and (root / header).exists():
        return f'project headers are quoted: #include "{header}"'
    if quote == '"' and folder_of(header) is None and ((root / source).parent / header).exists():
        return f'write it from the repository root: #include "{Path(source).parent.as_posix()}/{header}"'
    return None


def check_file(root, source):
    """All errors of one source as (line, message)."""
    text = (root / source).read_text(encoding="utf-8")
    errors = []
    if source.endswith((".h", ".cuh")) and REINCLUDED not in text and not PRAGMA_ONCE.search(text):
        errors.append((1, "headers start with #pragma once"))
    for number, line in enumerate(text.splitlines(), start=1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, header = match.groups()
        error = style_error(root, source, quote, header) or layering_error(source, header)
        if error:
            errors.append((number, f"includes {header}: {error}"))
    return errors


def build_error(root, source):
    """Whether the CMakeLists.txt nearest above `source` names it."""
    for folder in (root / source).parents:
        lists = folder / "CMakeLists.txt"
        if lists.exists() and folder != root:
            name = (root / source).relative_to(folder).as_posix()
            if re.search(rf"(^|[\s(]){re.escape(name)}([\s)]|$)", lists.read_text(encoding="utf-8")):
                return None
            return f"not named in {lists.relative_to(root).as_posix()}: it would not be built"
        if folder == root:
            break
    return "no CMakeLists.txt governs this file: it would not be built"


def sources(root):
    for top in sorted({key.split("/")[0] for key in LEVELS} | set(FREE)):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                yield path.relative_to(root).as_posix()


def check_tree(root):
    """All errors of a tree as lines "file:line: message", and the number of files looked at."""
    errors, count = [], 0
    for source in sources(root):
        count += 1
        found = check_file(root, source)
        if source.endswith(SOURCE_SUFFIXES):
            missing = build_error(root, source)
            found += [(1, missing)] if missing else []
        errors += [f"{source}:{line}: {message}" for line, message in found]
    return errors, count


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    errors, count = check_tree(root)
    if count == 0:
        errors = [f"{root}: no sources found"]
    print("\n".join(errors) if errors else f"include rule: {count} files, no violation")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

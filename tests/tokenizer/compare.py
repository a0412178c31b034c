#!/usr/bin/env python3
"""Compares our tokenizer with the `tokenizers` library, id by id and character by character.

  compare.py --tool PATH/tokenizer_tool [--repository DIR] [--shared DIR] [--bytes N] [--only NAME ...]

For the bundled model, for the published tokenizers in SHARED/fixtures/tokenizers (left out with a note if absent) and
for the tokenizers of zoo.py, on N bytes of corpus.py each:
  encode      ids with and without special tokens; the same in spans; a long text; every character of Unicode
  decode      of those ids and of random ids, special tokens kept and skipped
  stepwise    IncrementalDecoder gives the same text
  user text   control tokens are not recognised in spans that do not allow them, and nothing else changes
Prints a table; the exit code is 1 if anything differs. `lossless` counts texts that come back unchanged: it has to be all of
them for tokenizers of which LOSSLESS says so, up to their normalization.
"""

import argparse
import os
import pathlib
import random
import sys
import tempfile

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import tokenizers  # noqa: E402

import corpus  # noqa: E402
import zoo  # noqa: E402
from tool_client import TokenizerTool, ToolError  # noqa: E402

LOSSLESS = {"pocket-dictionary", "deepseek_v3", "llama3_1", "qwen3", "byte_level_first", "kimi_style", "o200k_style",
            "possessive_style", "nfd"}
MAX_REPORTS = 5


def is_control(token):
    return token.special or any(token.content.startswith("<" + bar) and token.content.endswith(bar + ">") for bar in "|｜")


class Comparison:
    def __init__(self, name, tool, peer):
        self.name, self.tool, self.peer = name, tool, peer
        self.bytes = self.ids = self.texts = self.lossless = self.failures = 0
        added = peer.get_added_tokens_decoder()
        self.control = {i: token.content for i, token in added.items() if is_control(token)}
        # Unknown and byte tokens can come from plain text.
        self.forgeable = {i for i, content in self.control.items() if not content.startswith(("<unk>", "[UNK]", "<0x"))}

    def check(self, what, ours, theirs, subject):
        if ours == theirs:
            return
        self.failures += 1
        if self.failures <= MAX_REPORTS:
            at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
            print(f"{self.name}: {what} differs at {at}: ours {ours[at:at + 8]!r}, theirs {theirs[at:at + 8]!r}; "
                  f"context {ours[max(0, at - 8):at]!r}; subject {subject!r:.300}", file=sys.stderr)

    def text(self, text, rng):
        theirs = self.peer.encode(text).ids
        plain = self.peer.encode(text, add_special_tokens=False).ids
        self.check("encode", self.tool.encode(text), theirs, text)
        self.check("encode without special tokens", self.tool.encode(text, False), plain, text)
        cuts = sorted(rng.randrange(len(text) + 1) for _ in range(3))
        spans = [(text[a:b], True) for a, b in zip([0, *cuts], [*cuts, len(text)])]
        self.check("spans", self.tool.encode_spans(spans), plain, text)
        self.decode(theirs)
        normalized = self.peer.normalizer.normalize_str(text) if self.peer.normalizer else text
        if self.tool.decode(plain, False) in (text, normalized):
            self.lossless += 1
        self.user_text(text, plain)
        if self.name in LOSSLESS and self.texts % 50 == 0:
            self.check("token bytes", b"".join(map(self.tool.token_bytes, plain)), normalized.encode(), text)
        self.texts += 1
        self.bytes += len(text.encode())
        self.ids += len(theirs)

    def user_text(self, text, plain):
        ours = self.tool.encode_user(text)
        self.check("control tokens in user text", sorted(self.forgeable.intersection(ours)), [], text)
        normalized = self.peer.normalizer.normalize_str(text) if self.peer.normalizer else text
        if not any(content in text or content in normalized for content in self.control.values()):
            self.check("user text", ours, plain, text)
        elif self.name in LOSSLESS:
            self.check("user text decoded", self.tool.decode(ours, False), normalized, text)

    def decode(self, ids):
        for skip in (True, False):
            theirs = self.peer.decode(ids, skip_special_tokens=skip)
            self.check(f"decode (skip={skip})", self.tool.decode(ids, skip), theirs, ids)
            self.check(f"stepwise decode (skip={skip})", self.tool.decode_stepwise(ids, skip), theirs, ids)

    def run(self, total_bytes):
        rng = random.Random(3)
        documents = list(corpus.documents(total_bytes))
        for document in documents:
            self.text(document, rng)
        joined = "".join(documents[:len(documents) // 4])
        self.check("encode of a long text", self.tool.encode(joined), self.peer.encode(joined).ids, "")
        everything = corpus.every_character()
        self.check("encode of every character", self.tool.encode(everything), self.peer.encode(everything).ids, "")
        limit = self.peer.get_vocab_size() + 10
        special = list(self.peer.get_added_tokens_decoder())
        for _ in range(400):
            self.decode([rng.choice(special) if special and rng.random() < 0.1 else rng.randrange(limit)
                         for _ in range(rng.randrange(1, 60))])
        if self.name in LOSSLESS and self.lossless != self.texts:
            self.failures += 1
            print(f"{self.name}: {self.texts - self.lossless} texts did not come back", file=sys.stderr)


def published(repository, shared):
    yield "pocket-dictionary", repository / "models/pocket-dictionary"
    root = shared / "fixtures/tokenizers"
    if not root.is_dir():
        print(f"note: {root} is absent, published tokenizers are not compared", file=sys.stderr)
        return
    for directory in sorted(root.iterdir()):
        yield directory.name, directory


def trained(directory):
    for make in zoo.ALL:
        path = pathlib.Path(directory) / make.__name__
        path.mkdir()
        make().save(str(path / "tokenizer.json"))
        yield make.__name__, path


def compare(name, path, tool_binary, total_bytes):
    tool = TokenizerTool(tool_binary, str(path))
    try:
        comparison = Comparison(name, tool, tokenizers.Tokenizer.from_file(str(path / "tokenizer.json")))
        comparison.run(total_bytes)
    finally:
        tool.close()
    print(f"{name:28} {comparison.bytes:>9} {comparison.ids:>8} {'yes' if comparison.failures == 0 else 'NO':>5} "
          f"{comparison.lossless:>6}/{comparison.texts}", flush=True)
    return comparison.failures == 0


def main():
    repository = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--repository", type=pathlib.Path, default=repository)
    parser.add_argument("--shared", type=pathlib.Path,
                        default=os.environ.get("TANDEM_SHARED", repository.parent / "shared"))
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", help="names of tokenizers")
    options = parser.parse_args()
    ok = True
    print(f"{'tokenizer':28} {'bytes':>9} {'ids':>8} {'equal':>5} {'lossless':>6}")
    with tempfile.TemporaryDirectory() as directory:
        cases = [*published(options.repository, pathlib.Path(options.shared)), *trained(directory)]
        for name, path in cases:
            if options.only and name not in options.only:
                continue
            try:
                ok = compare(name, path, options.tool, options.bytes) and ok
            except ToolError as error:
                print(f"{name}: {error}", file=sys.stderr)
                ok = False
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())

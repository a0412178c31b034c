#!/usr/bin/env python3
"""Writes a checkpoint with random weights in the shape of a published model, for benchmarks and load tests.

    tools/make_synthetic.py olmoe-1b-7b ~/olmoe8 --layers 8
    tools/make_synthetic.py qwen3-30b-a3b ~/qwen4 --layers 4 --gguf ~/qwen4.gguf --gguf-type q8_0

The directory is complete: config.json with the published values, safetensors shards, a tokenizer that knows every id, chat
template, generation_config.json. Its answers are noise; sizes, routing and speed are those of the shape. The same arguments
write the same bytes.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from synthetic_shapes import SHAPES, cut, tensor_shapes
from synthetic_tokenizer import make_vocabulary
from synthetic_weights import Weights, write_safetensors

GGUF_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_0", "q4_0")


class Progress:
    """A line on a terminal: what is written, how much of it, how fast."""

    def __init__(self, what):
        self._what, self._bytes, self._start = what, 0, time.monotonic()

    def add(self, count):
        self._bytes += count
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{self._line()}")

    def finish(self):
        sys.stderr.write(("\r\033[K" if sys.stderr.isatty() else "") + self._line() + "\n")

    def _line(self):
        seconds = max(time.monotonic() - self._start, 1e-6)
        return f"{self._what}: {self._bytes / 1e9:.2f} GB in {seconds:.1f} s, {self._bytes / 1e9 / seconds:.2f} GB/s"


def write_json(path, value, **options):
    path.write_text(json.dumps(value, ensure_ascii=False, **options) + "\n", encoding="utf-8")


def tokenizer_config(shape):
    names = {i: token for token, i in shape.special_tokens.items()}
    config = shape.config
    return {
        "add_bos_token": config["model_type"] == "deepseek_v2",
        "add_eos_token": False,
        "added_tokens_decoder": {
            str(i): {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                     "special": True}
            for i, token in sorted(names.items())
        },
        "bos_token": names.get(config.get("bos_token_id")),
        "eos_token": names[config["eos_token_id"]],
        "pad_token": names.get(config.get("pad_token_id"), names[config["eos_token_id"]]),
        "unk_token": None,
        "clean_up_tokenization_spaces": False,
        "model_max_length": config["max_position_embeddings"],
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": shape.chat_template,
    }


def generation_config(shape):
    ids = {key: shape.config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in shape.config}
    return {**ids, "do_sample": False}


def write_text_files(folder, shape, vocabulary, dtype):
    torch_dtype = {"bf16": "bfloat16", "f32": "float32"}[dtype]
    write_json(folder / "config.json", {**shape.config, "torch_dtype": torch_dtype}, indent=2)
    write_json(folder / "generation_config.json", generation_config(shape), indent=2)
    write_json(folder / "tokenizer.json", vocabulary.tokenizer_json())
    write_json(folder / "tokenizer_config.json", tokenizer_config(shape), indent=2)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("folder", type=Path, help="directory to write; weights that are there are replaced")
    parser.add_argument("--layers", type=int, help="fewer layers than published")
    parser.add_argument("--vocab-size", type=int, help="fewer tokens than published")
    parser.add_argument("--experts", type=int, help="fewer experts a layer than published")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=("bf16", "f32"), default="bf16", help="of the safetensors")
    parser.add_argument("--shard-bytes", type=int, default=4 << 30, help="largest size of one safetensors file")
    parser.add_argument("--gguf", type=Path, help="write the same weights as GGUF too; needs the gguf package")
    parser.add_argument("--gguf-type", choices=GGUF_TYPES, default="bf16", help="of the GGUF's matrices")
    arguments = parser.parse_args()
    for name in ("layers", "vocab_size", "experts"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    if arguments.seed < 0:
        parser.error("--seed must not be negative")
    return parser, arguments


def load_gguf_writer(parser):
    """Imported only when asked for: the package is optional."""
    try:
        from synthetic_gguf import write_gguf
    except ModuleNotFoundError as error:
        parser.error(f"--gguf needs the package '{error.name}': pip install -r tools/requirements-synthetic.txt")
    return write_gguf


def main():
    parser, arguments = parse_arguments()
    write_gguf = load_gguf_writer(parser) if arguments.gguf else None
    try:
        shape = cut(SHAPES[arguments.shape], arguments.layers, arguments.vocab_size, arguments.experts)
        vocabulary = make_vocabulary(shape.config["vocab_size"], shape.special_tokens)
    except ValueError as error:
        parser.error(str(error))
    weights = Weights(tensor_shapes(shape.config), arguments.seed, arguments.dtype)
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    write_text_files(folder, shape, vocabulary, arguments.dtype)
    progress = Progress(str(folder))
    write_safetensors(weights, folder, arguments.shard_bytes, progress.add)
    progress.finish()
    if write_gguf is not None:
        progress = Progress(str(arguments.gguf))
        write_gguf(arguments.gguf, weights, shape, vocabulary, arguments.gguf_type, progress.add)
        progress.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())

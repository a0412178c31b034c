"""tools/make_synthetic.py: its checkpoints are served like published ones, and its GGUF files hold the same weights."""

import json
import subprocess
import sys

import gguf
import numpy as np
import pytest
from tandem_process import ROOT, run_tandem
from tokenizers import Tokenizer

sys.path.insert(0, str(ROOT / "tools"))
from synthetic_shapes import SHAPES  # noqa: E402
from synthetic_tokenizer import make_vocabulary  # noqa: E402

# The smallest cut of each shape that has every kind of layer: flags, and what inspect must say.
CUTS = {
    "olmoe-1b-7b": (["--layers", 1, "--experts", 8], {"model_type": "olmoe", "num_experts_per_tok": 8}),
    "qwen3-30b-a3b": (["--layers", 1, "--experts", 8], {"model_type": "qwen3_moe", "num_experts_per_tok": 8}),
    "deepseek-v2-lite": (["--layers", 2, "--experts", 6], {"model_type": "deepseek_v2", "num_experts_per_tok": 6}),
}
VOCAB_SIZE = 600


def make(folder, shape, *args):
    done = subprocess.run([sys.executable, ROOT / "tools" / "make_synthetic.py", shape, folder,
                           *map(str, CUTS[shape][0]), "--vocab-size", str(VOCAB_SIZE), *map(str, args)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("shape", CUTS)
def test_the_product_runs_it(shape, tmp_path):
    model = make(tmp_path / shape, shape, "--shard-bytes", 100 << 20)
    assert (model / "model.safetensors.index.json").exists()
    description = json.loads(run_tandem("inspect", model, "--json").stdout)
    assert {key: description[key] for key in CUTS[shape][1]} == CUTS[shape][1]
    assert description["vocab_size"] == VOCAB_SIZE
    generated = run_tandem("generate", model, "-p", "What is a piano?", "--max-tokens", 8, "--expert-workers", 0)
    assert generated.returncode == 0, generated.stderr
    assert generated.stdout.strip() != ""
    bench = run_tandem("bench", "offline", model, "--expert-workers", 0, "--batch", "1,2", "--prompt-tokens", 8,
                       "--output-tokens", 4, "--json")
    assert bench.returncode == 0, bench.stderr
    assert all(result["decode_tokens_per_second"] > 0 for result in json.loads(bench.stdout)["results"])


def test_the_tokenizer_knows_every_id_and_gives_text_back(tmp_path):
    model = make(tmp_path / "model", "olmoe-1b-7b")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == VOCAB_SIZE
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    assert tokenizer.id_to_token(config["eos_token_id"]) == "<|endoftext|>"
    for token in range(VOCAB_SIZE):
        assert tokenizer.decode([token], skip_special_tokens=False) != ""
    text = "The quick brown fox, 42 times:\n\tπ ≈ 3.14 🙂"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_special_tokens_have_their_published_ids(shape):
    vocabulary = make_vocabulary(shape.config["vocab_size"], shape.special_tokens)
    tokenizer = Tokenizer.from_str(json.dumps(vocabulary.tokenizer_json()))
    assert tokenizer.get_vocab_size() == shape.config["vocab_size"]
    for token, published in shape.special_tokens.items():
        assert tokenizer.token_to_id(token) == published
        assert tokenizer.encode(f"a{token}b").ids[1] == published
    assert shape.config["eos_token_id"] in shape.special_tokens.values()


def test_the_same_arguments_write_the_same_bytes_and_a_seed_others(tmp_path):
    first, same, other = (make(tmp_path / name, "qwen3-30b-a3b", "--seed", seed) / "model.safetensors"
                          for name, seed in (("first", 1), ("same", 1), ("other", 2)))
    assert first.read_bytes() == same.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def read_safetensors(path):
    """Tensor name to float32 array, of a bf16 file."""
    data = np.memmap(path, dtype=np.uint8, mode="r")
    size = int(data[:8].view("<u8")[0])
    header = json.loads(bytes(data[8:8 + size]))
    header.pop("__metadata__")
    return {name: (data[8 + size + info["data_offsets"][0]:8 + size + info["data_offsets"][1]].view("<u2")
                   .astype(np.uint32) << 16).view(np.float32).reshape(info["shape"]) for name, info in header.items()}


def test_the_gguf_file_holds_the_same_weights(tmp_path):
    model = make(tmp_path / "model", "deepseek-v2-lite", "--gguf", tmp_path / "model.gguf", "--gguf-type", "bf16")
    ours = read_safetensors(model / "model.safetensors")
    theirs = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])
              for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}

    def same(name, expected):
        np.testing.assert_array_equal(theirs.pop(name), expected)

    same("token_embd.weight", ours["model.embed_tokens.weight"])
    same("output.weight", ours["lm_head.weight"])
    same("blk.0.ffn_down.weight", ours["model.layers.0.mlp.down_proj.weight"])
    same("blk.1.ffn_gate_inp.weight", ours["model.layers.1.mlp.gate.weight"])
    experts = [ours[f"model.layers.1.mlp.experts.{e}.up_proj.weight"] for e in range(6)]
    same("blk.1.ffn_up_exps.weight", np.stack(experts))
    latent = ours["model.layers.1.self_attn.kv_b_proj.weight"].reshape(16, 128 + 128, 512)
    same("blk.1.attn_k_b.weight", latent[:, :128].transpose(0, 2, 1))
    same("blk.1.attn_v_b.weight", latent[:, 128:])
    left = [name.removesuffix(".weight") for name in theirs if name.startswith("blk.1.")]
    assert sorted(left) == sorted(f"blk.1.{name}" for name in (
        "attn_norm", "ffn_norm", "attn_q", "attn_kv_a_mqa", "attn_kv_a_norm", "attn_output", "ffn_gate_exps",
        "ffn_down_exps", "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"))


@pytest.mark.parametrize("args, complaint", [
    (["--experts", 2], "experts"),
    (["--vocab-size", 100], "vocabulary"),
    (["--layers", 0], "--layers"),
])
def test_refuses_cuts_that_make_no_model(args, complaint, tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tools" / "make_synthetic.py", "olmoe-1b-7b", tmp_path / "model",
                           *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr

"""Random weights for the tiny golden checkpoints, and their Hugging Face directory on disk."""

import copy
import json
import math
import pathlib

import torch
from safetensors.torch import load_file, save_file

FP8_BLOCK = 128
FP8_MAX = 448.0
_DTYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "FP8": torch.bfloat16}

# Gains over 1/sqrt(fan_in). They keep every branch near unit size and logits a few units wide, so that a wrong head,
# expert, position or norm moves the logits visibly and greedy decoding does not collapse onto one token.
_GAINS = {
    "k_proj.weight": 1.3,
    "kv_b_proj.weight": 1.3,
    "o_proj.weight": 1.6,
    "down_proj.weight": 1.8,
    "w2.weight": 1.8,
    "gate.weight": 2.0,
}
_LOGIT_STD = 3.0


def _random_tensor(name, shape, family, generator):
    config = family.config
    normal = torch.randn(shape, generator=generator)
    if name.endswith("e_score_correction_bias"):
        # Where groups are masked the smallest bias is 0: transformers masks dropped experts with 0, others with minus
        # infinity, and both pick the same experts only while every biased score is positive.
        bias = 0.25 * normal
        return bias - bias.min() if config.get("n_group", 1) > 1 else bias
    if "embed_tokens" in name or "lm_head" in name or "shared_head.head" in name:
        return normal * (_LOGIT_STD / math.sqrt(config["hidden_size"]))
    if len(shape) == 1 and name.endswith("weight"):
        return 0.6 + 0.8 * torch.rand(shape, generator=generator)
    if name.endswith("bias"):
        return 0.3 * normal
    if name.endswith(("q_proj.weight", "q_b_proj.weight")):
        return normal * (family.query_gain / math.sqrt(shape[-1]))
    gain = next((g for suffix, g in _GAINS.items() if name.endswith(suffix)), 1.0)
    return normal * (gain / math.sqrt(shape[-1]))


def _mtp_shapes(shapes, config):
    """The tensors of one multi-token-prediction layer: a decoder layer like the last one plus its own extras."""
    hidden, vocab, layers = config["hidden_size"], config["vocab_size"], config["num_hidden_layers"]
    last, mtp = f"model.layers.{layers - 1}.", f"model.layers.{layers}."
    result = {mtp + name[len(last) :]: shape for name, shape in shapes.items() if name.startswith(last)}
    result[mtp + "embed_tokens.weight"] = (vocab, hidden)
    result[mtp + "enorm.weight"] = (hidden,)
    result[mtp + "hnorm.weight"] = (hidden,)
    result[mtp + "eh_proj.weight"] = (hidden, 2 * hidden)
    result[mtp + "shared_head.norm.weight"] = (hidden,)
    result[mtp + "shared_head.head.weight"] = (vocab, hidden)
    return result


def _is_fp8_weight(name):
    """Published FP8 checkpoints leave embeddings, head, norms and the router in higher precision."""
    return name.endswith("_proj.weight") or name.endswith("_proj_with_mqa.weight")


def _expand_blocks(scale, shape):
    rows = scale.repeat_interleave(FP8_BLOCK, dim=0)[: shape[0]]
    return rows.repeat_interleave(FP8_BLOCK, dim=1)[:, : shape[1]]


def _quantize_fp8(weight):
    """Returns (float8 weight, float32 scale [ceil(rows / 128), ceil(columns / 128)]); weight = float8 * scale."""
    rows, columns = (math.ceil(size / FP8_BLOCK) for size in weight.shape)
    scale = torch.empty(rows, columns)
    for r in range(rows):
        for c in range(columns):
            block = weight[r * FP8_BLOCK : (r + 1) * FP8_BLOCK, c * FP8_BLOCK : (c + 1) * FP8_BLOCK]
            scale[r, c] = block.abs().max() / FP8_MAX
    return (weight / _expand_blocks(scale, weight.shape)).to(torch.float8_e4m3fn), scale


def make_tensors(family, shapes, seed):
    """Draws every tensor of a checkpoint in its storage type. `shapes`: tensor name to shape."""
    generator = torch.Generator().manual_seed(seed)
    if family.has_mtp_layer:
        shapes = {**shapes, **_mtp_shapes(shapes, family.config)}
    tensors = {}
    for name in sorted(shapes):
        value = _random_tensor(name, shapes[name], family, generator)
        if family.dtype == "FP8" and _is_fp8_weight(name):
            # Rows grow so that blocks differ in range and a scale taken from the wrong block shows.
            value = value * torch.linspace(0.7, 1.3, value.shape[0])[:, None]
            tensors[name], tensors[name + "_scale_inv"] = _quantize_fp8(value)
        else:
            if family.bfloat16_values:
                value = value.to(torch.bfloat16)
            wide = name.endswith(family.float32_tensors) if family.float32_tensors else False
            tensors[name] = value.to(torch.float32 if wide else _DTYPES[family.dtype])
    return tensors


def _shard_names(tensors, count):
    """Contiguous runs of names of about equal bytes; block scales go last, away from their weights."""
    names = sorted(tensors, key=lambda name: (name.endswith("_scale_inv"), name))
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    shards, used = [[] for _ in range(count)], 0
    for name in names:
        shards[min(count - 1, used * count // total)].append(name)
        used += tensors[name].numel() * tensors[name].element_size()
    return shards


def _published_config(family):
    config = copy.deepcopy(family.config)
    dtype = str(_DTYPES[family.dtype]).removeprefix("torch.")
    if family.dtype == "FP8":
        config["quantization_config"] = {
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "quant_method": "fp8",
            "weight_block_size": [FP8_BLOCK, FP8_BLOCK],
        }
    if family.modern_config:
        scaling = config.pop("rope_scaling") or {"rope_type": "default"}
        config["rope_parameters"] = {"rope_theta": config.pop("rope_theta"), **scaling}
        config["dtype"] = dtype
        config["transformers_version"] = "5.0.0"
    else:
        config["torch_dtype"] = dtype
        config["transformers_version"] = "4.57.6"
    return config


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=False) + "\n")


def write_checkpoint(family, tensors, folder):
    """Writes config.json and the safetensors file or files into `folder`, removing older ones."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    write_json(folder / "config.json", _published_config(family))
    if family.shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map = {}
    for index, names in enumerate(_shard_names(tensors, family.shards), start=1):
        file = f"model-{index:05d}-of-{family.shards:05d}.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in names})
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / "model.safetensors.index.json", index)


def load_float32(folder):
    """Reads a checkpoint folder back as float32 tensors, with FP8 blocks multiplied by their scales."""
    stored = {}
    for file in sorted(pathlib.Path(folder).glob("model*.safetensors")):
        stored.update(load_file(file))
    tensors = {}
    for name, value in stored.items():
        if name.endswith("_scale_inv"):
            continue
        scale = stored.get(name + "_scale_inv")
        value = value.to(torch.float32)
        tensors[name] = value if scale is None else value * _expand_blocks(scale, value.shape)
    return tensors

"""Random weights by name, and their safetensors files, written as a stream: memory stays bounded whatever the model's size."""

import json
import math
import statistics
import struct
import zlib

import numpy as np

_CHUNK = 1 << 24  # elements at a time
_LEVELS = 1 << 16
# Gains over 1/sqrt(fan_in): every branch adds about as much as the residual stream of the first layers holds, gates are
# decided but not saturated, and logits are a few units wide, so that greedy answers do not collapse onto one token.
_GAINS = {"o_proj": 1.6, "down_proj": 1.8, "gate": 2.0, "lm_head": 3.0}
_NORM_SPREAD = 0.1


def _normal_levels():
    """The standard normal distribution cut into 65,536 equally likely values: one 16-bit random number picks a weight."""
    upper = statistics.NormalDist()
    half = [upper.inv_cdf((_LEVELS // 2 + i + 0.5) / _LEVELS) for i in range(_LEVELS // 2)]
    return np.array([-value for value in reversed(half)] + half, dtype=np.float32)


def to_bfloat16_bits(values):
    """float32 to the bits of bfloat16, rounded to nearest even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


def from_bfloat16_bits(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


class Weights:
    """The weights of a checkpoint. A tensor's values depend on the seed, its name and its shape alone, so the first layers
    of a model are the same however many follow."""

    def __init__(self, shapes, seed, dtype):
        """shapes: name to shape; dtype: "bf16" or "f32", what is stored."""
        self.shapes = shapes
        self.dtype = dtype
        self._seed = seed
        self._levels = _normal_levels()

    def nbytes(self, name):
        return math.prod(self.shapes[name]) * (2 if self.dtype == "bf16" else 4)

    def chunks(self, name):
        """The tensor's elements in row-major order, as stored (bfloat16 as uint16 bits), a bounded number at a time."""
        random = np.random.Generator(np.random.SFC64([self._seed, zlib.crc32(name.encode())]))
        levels = self._stored_levels(name)
        left = math.prod(self.shapes[name])
        while left > 0:
            count = min(left, _CHUNK)
            yield levels[random.integers(0, _LEVELS, count, dtype=np.uint16)]
            left -= count

    def tensor(self, name):
        """The whole tensor, as float32."""
        parts = [from_bfloat16_bits(part) if self.dtype == "bf16" else part for part in self.chunks(name)]
        return np.concatenate(parts).reshape(self.shapes[name])

    def _stored_levels(self, name):
        shape = self.shapes[name]
        if len(shape) == 1:
            levels = 1 + _NORM_SPREAD * self._levels
        elif "embed_tokens" in name:
            levels = self._levels
        else:
            kind = name.removesuffix(".weight").rsplit(".", 1)[-1]
            levels = self._levels * np.float32(_GAINS.get(kind, 1.0) / math.sqrt(shape[1]))
        return to_bfloat16_bits(levels) if self.dtype == "bf16" else levels.astype(np.float32)


def _shards(weights, max_bytes):
    """Consecutive runs of tensors of at most `max_bytes`, one tensor at least."""
    shards, used = [[]], 0
    for name in weights.shapes:
        size = weights.nbytes(name)
        if shards[-1] and used + size > max_bytes:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    return shards


def _header(weights, names):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        end = offset + weights.nbytes(name)
        header[name] = {"dtype": weights.dtype.upper(), "shape": list(weights.shapes[name]), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write_safetensors(weights, folder, max_shard_bytes, on_tensor):
    """Writes model.safetensors, or shards with their index. Calls on_tensor(bytes) after every tensor."""
    shards = _shards(weights, max_shard_bytes)
    weight_map = {}
    for index, names in enumerate(shards, start=1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{index:05}-of-{len(shards):05}.safetensors"
        with open(folder / file, "wb") as out:
            out.write(_header(weights, names))
            for name in names:
                for chunk in weights.chunks(name):
                    out.write(chunk)
                weight_map[name] = file
                on_tensor(weights.nbytes(name))
    if len(shards) > 1:
        total = sum(weights.nbytes(name) for name in weights.shapes)
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")

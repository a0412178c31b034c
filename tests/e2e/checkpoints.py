"""Damaged copies of the bundled checkpoint."""

import json
import shutil
import struct
from pathlib import Path

from tandem_process import MODEL

WEIGHTS = "model.safetensors"


def copy_model(target):
    """A copy of the bundled model that may be damaged; the weights are linked until somebody writes them."""
    target.mkdir()
    for source in MODEL.iterdir():
        if source.name == WEIGHTS:
            (target / WEIGHTS).symlink_to(source)
        else:
            shutil.copy(source, target / source.name)
    return target


def edit_json(path, change):
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def own_weights(folder):
    """The bytes of the weights, with the link to them removed."""
    path = Path(folder, WEIGHTS)
    data = bytearray(path.read_bytes())
    path.unlink()
    return data


def split_safetensors(data):
    """(header as JSON, offset of the data)."""
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), 8 + size


def join_safetensors(header, payload):
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + payload


def change_weights(path):
    """Another model of the same shape: the middle of every tensor is different."""
    data = bytearray(path.read_bytes())
    header, start = split_safetensors(data)
    for name, tensor in header.items():
        if name != "__metadata__":
            middle = start + sum(tensor["data_offsets"]) // 2
            data[middle] ^= 1
    path.write_bytes(data)


def without_config(folder):
    (folder / "config.json").unlink()


def without_weights(folder):
    (folder / WEIGHTS).unlink()


def truncated_config(folder):
    text = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(text[:len(text) // 2], encoding="utf-8")


def truncated_weights(folder):
    data = own_weights(folder)
    (folder / WEIGHTS).write_bytes(data[:len(data) // 2])


def truncated_header(folder):
    data = own_weights(folder)
    (folder / WEIGHTS).write_bytes(data[:100])


def huge_header_length(folder):
    data = own_weights(folder)
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", 1 << 62) + data[8:])


def index_names_missing_shard(folder):
    header, _ = split_safetensors(own_weights(folder))
    weight_map = {name: "model-00001-of-00002.safetensors" for name in header if name != "__metadata__"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def tensor_missing(folder):
    data = own_weights(folder)
    header, start = split_safetensors(data)
    del header["model.layers.2.mlp.gate.weight"]
    (folder / WEIGHTS).write_bytes(join_safetensors(header, data[start:]))


def shape_against_offsets(folder):
    data = own_weights(folder)
    header, start = split_safetensors(data)
    header["model.norm.weight"]["shape"] = [257]
    (folder / WEIGHTS).write_bytes(join_safetensors(header, data[start:]))


def shape_against_config(folder):
    edit_json(folder / "config.json", lambda config: config.update(moe_intermediate_size=48))


def unknown_architecture(folder):
    edit_json(folder / "config.json", lambda config: config.update(model_type="frobnicator"))


def unknown_quantization(folder):
    edit_json(folder / "config.json", lambda config: config.update(quantization_config={"quant_method": "frobq"}))


def wrong_type_in_config(folder):
    edit_json(folder / "config.json", lambda config: config.update(hidden_size="large"))


def without_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def truncated_tokenizer(folder):
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text[:len(text) // 2], encoding="utf-8")


def unknown_tokenizer_model(folder):
    edit_json(folder / "tokenizer.json", lambda tokenizer: tokenizer["model"].update(type="Frobgram"))


def broken_template(folder):
    edit_json(folder / "tokenizer_config.json",
              lambda config: config.update(chat_template="{% for m in messages %}{{ m"))

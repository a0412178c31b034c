"""Missing, truncated or inconsistent model files: exit status 1 and a message that names what is wrong."""

import checkpoints
import pytest
from checkpoints import copy_model
from tandem_process import free_port, run_tandem

# What is damaged, and what the message must name.
WEIGHTS_AND_CONFIG = [
    (checkpoints.without_config, ["config.json"]),
    (checkpoints.without_weights, ["model.safetensors"]),
    (checkpoints.truncated_config, ["config.json"]),
    (checkpoints.truncated_weights, ["model.safetensors"]),
    (checkpoints.truncated_header, ["model.safetensors"]),
    (checkpoints.huge_header_length, ["model.safetensors"]),
    (checkpoints.index_names_missing_shard, ["model-00001-of-00002.safetensors"]),
    (checkpoints.shape_against_offsets, ["model.safetensors", "model.norm.weight"]),
    (checkpoints.unknown_architecture, ["frobnicator", "deepseek_v3"]),
    (checkpoints.unknown_quantization, ["frobq"]),
    (checkpoints.wrong_type_in_config, ["config.json", "hidden_size"]),
]
# Found when weights are loaded: inspect reads headers only.
LOADING = [
    (checkpoints.tensor_missing, ["model.layers.2.mlp.gate.weight"]),
    (checkpoints.shape_against_config, ["model.layers.", "48", "64"]),
]
TEXT = [
    (checkpoints.without_tokenizer, ["tokenizer.json"]),
    (checkpoints.truncated_tokenizer, ["tokenizer.json"]),
    (checkpoints.unknown_tokenizer_model, ["tokenizer.json", "Frobgram"]),
    (checkpoints.broken_template, ["template"]),
]


def command_line(command, model):
    if command == "inspect":
        return ["inspect", model]
    if command == "generate":
        return ["generate", model, "-p", "What is a piano?"]
    workers = command.rpartition("-")[2]
    return ["serve", model, "--expert-workers", workers, "--port", free_port(), "--grpc-port", free_port()]


def cases(damages, commands):
    return [pytest.param(damage, expected, command, id=f"{damage.__name__}-{command}")
            for damage, expected in damages for command in commands]


@pytest.mark.parametrize(
    "damage, expected, command",
    cases(WEIGHTS_AND_CONFIG, ["inspect", "generate", "serve-2"]) + cases(LOADING, ["generate", "serve-0", "serve-2"])
    + cases(TEXT, ["generate", "serve-2"]))
def test_a_bad_checkpoint_ends_with_status_1_and_names_the_fault(damage, expected, command, tmp_path):
    model = copy_model(tmp_path / "model")
    damage(model)
    done = run_tandem(*command_line(command, model))
    assert done.returncode == 1, done.stderr
    for text in expected:
        assert text in done.stderr
    assert "terminate called" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["inspect", "generate", "serve-2"])
def test_a_directory_that_does_not_exist_is_named(command, tmp_path):
    done = run_tandem(*command_line(command, tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "nowhere" in done.stderr

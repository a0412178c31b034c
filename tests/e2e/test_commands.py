"""The command line: one-shot commands, usage errors, exit codes."""

import json
import os

import pytest
from tandem_process import MODEL, golden_prompts, run_tandem

GOLDEN = golden_prompts()


def test_inspect_json_describes_the_checkpoint():
    done = run_tandem("inspect", MODEL, "--json")
    assert done.returncode == 0, done.stderr
    description = json.loads(done.stdout)
    assert description["model_type"] == "deepseek_v3"
    assert description["num_experts"] == 32
    assert description["num_experts_per_tok"] == 4
    assert description["num_hidden_layers"] == 5
    assert description["vocab_size"] == 4096
    assert [worker["experts"] for worker in description["placement"]] == [64, 64]


@pytest.mark.parametrize("dtype", ["int8", "fp8", "fp8_e4m3"])
def test_inspect_counts_quantized_kv_caches(dtype):
    def described(*flags):
        return json.loads(run_tandem("inspect", MODEL, "--json", *flags).stdout)

    config = json.loads((MODEL / "config.json").read_text())
    layers = config["num_hidden_layers"]
    latent = config["kv_lora_rank"] + config["qk_rope_head_dim"]
    assert described("--kv-cache-dtype", "bfloat16")["kv_bytes_per_token"] == layers * 2 * latent
    assert described("--kv-cache-dtype", dtype)["kv_bytes_per_token"] == layers * (latent + 2 * 4)  # two f32 scales
    assert run_tandem("inspect", MODEL, "--kv-cache-dtype", "int3").returncode == 2


def test_inspect_speaks_to_people():
    done = run_tandem("inspect", MODEL)
    assert done.returncode == 0, done.stderr
    assert "deepseek_v3" in done.stdout and "32" in done.stdout


@pytest.mark.parametrize("prompt", [p for p in GOLDEN if len(p["messages"]) == 1], ids=lambda p: p["greedy_text"][:20])
def test_generate_prints_the_answer(prompt):
    done = run_tandem("generate", MODEL, "-p", prompt["messages"][0]["content"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == prompt["greedy_text"]


def test_generate_refuses_a_prompt_that_is_not_utf8():
    done = run_tandem("generate", MODEL, "-p", os.fsdecode(b"What is a \xff?"))
    assert done.returncode == 1
    assert "UTF-8" in done.stderr


def test_version_and_help_exit_0():
    version = run_tandem("--version")
    assert version.returncode == 0 and version.stdout.startswith("tandem ")
    help_text = run_tandem("--help")
    assert help_text.returncode == 0
    for command in ("serve", "router", "expert-worker", "chat", "generate", "inspect", "bench"):
        assert command in help_text.stdout


@pytest.mark.parametrize("args", [
    (),
    ("frobnicate",),
    ("serve",),
    ("serve", MODEL, "--frobnicate"),
    ("serve", MODEL, "--port", "99999"),
    ("serve", MODEL, "--tool-call-parser", "hermit"),
    ("serve", MODEL, "--reasoning-parser", "thunk"),
    ("serve", MODEL, "--reasoning-field", "thoughts"),
    ("serve", MODEL, "--expert-workers", "many"),
    ("router", MODEL),
    ("expert-worker", MODEL, "--listen"),
    ("generate", MODEL),
    ("inspect",),
], ids=lambda args: " ".join(map(str, args[:1] + args[2:])) or "nothing")
def test_usage_errors_exit_2(args):
    done = run_tandem(*args)
    assert done.returncode == 2, done.stderr
    assert done.stderr != ""


def test_flags_come_from_the_environment_too():
    assert run_tandem("inspect", MODEL, "--json", env={"TANDEM_EXPERT_WORKERS": "4"}).stdout.count('"worker"') == 4
    assert run_tandem("inspect", MODEL, env={"TANDEM_EXPERT_WORKERS": "many"}).returncode == 2

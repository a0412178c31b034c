#!/usr/bin/env python3
"""Checks models/pocket-dictionary/golden.json against Hugging Face transformers in float32.

Compares token ids, the top five logits, the experts and weights of the last prompt position, the greedy continuation
and the multi-token-prediction guess. Prints the largest deviations and every disagreement; exits 1 on a disagreement.
"""

import argparse
import json
import pathlib
import sys

import torch
from transformers import PreTrainedTokenizerFast
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3DecoderLayer, DeepseekV3RMSNorm

from golden_families import Family
from golden_reference import RouterRecorder, load_reference
from golden_weights import load_float32

LOGIT_TOLERANCE = 1e-3
WEIGHT_TOLERANCE = 1e-4


class Report:
    """Collects the largest deviation per quantity and all disagreements."""

    def __init__(self):
        self.largest = {}
        self.smallest = {}
        self.disagreements = []

    def same(self, what, theirs, ours):
        if theirs != ours:
            self.disagreements.append(f"{what}: golden.json has {theirs}, transformers gives {ours}")

    def close(self, what, quantity, theirs, ours, tolerance):
        deviation = max((abs(a - b) for a, b in zip(theirs, ours, strict=True)), default=0.0)
        self.largest[quantity] = max(self.largest.get(quantity, 0.0), deviation)
        if deviation > tolerance:
            self.disagreements.append(f"{what}: {quantity} differ by {deviation:.2e}: {theirs} against {ours}")

    def margin(self, quantity, value):
        self.smallest[quantity] = min(self.smallest.get(quantity, float("inf")), value)

    def show(self):
        for quantity, value in self.largest.items():
            print(f"largest deviation of {quantity}: {value:.2e}")
        for quantity, value in self.smallest.items():
            print(f"smallest {quantity}: {value:.2e}")
        for line in self.disagreements:
            print(f"DISAGREES {line}")
        print("agrees" if not self.disagreements else f"{len(self.disagreements)} disagreements")


class MtpModule(torch.nn.Module):
    """The multi-token-prediction module as models/pocket-dictionary/README.md describes it."""

    def __init__(self, model, tensors):
        super().__init__()
        config = model.config
        self.index = config.num_hidden_layers
        prefix = f"model.layers.{self.index}."
        own = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
        self.rotary = model.model.rotary_emb
        self.layer = DeepseekV3DecoderLayer(config, self.index).eval()
        norms = {key: own.pop(f"{key}.weight") for key in ("enorm", "hnorm", "shared_head.norm")}
        self.norms = {key: _norm(config, weight) for key, weight in norms.items()}
        self.embedding, self.head = own.pop("embed_tokens.weight"), own.pop("shared_head.head.weight")
        self.projection = own.pop("eh_proj.weight")
        self.layer.load_state_dict(own, strict=True)

    def forward(self, hidden, next_tokens):
        """hidden: [1, T, H] after the main model's final norm; next_tokens: [T] ids. Returns logits [T, vocab]."""
        count = hidden.shape[1]
        pair = [self.norms["enorm"](self.embedding[next_tokens][None]), self.norms["hnorm"](hidden)]
        state = torch.cat(pair, dim=-1) @ self.projection.T
        mask = torch.full((count, count), torch.finfo(torch.float32).min).triu(1)[None, None]
        positions = self.rotary(state, torch.arange(count)[None])
        state = self.layer(state, attention_mask=mask, position_embeddings=positions)
        return self.norms["shared_head.norm"](state)[0] @ self.head.T


def _norm(config, weight):
    norm = DeepseekV3RMSNorm(config.hidden_size, config.rms_norm_eps)
    norm.weight.data = weight
    return norm


def check_tokens(report, tokenizer, prompt, name):
    report.same(f"{name} token_ids", prompt["token_ids"], tokenizer.encode(prompt["text"], add_special_tokens=False))
    templated = tokenizer.apply_chat_template(prompt["messages"], tokenize=False, add_generation_prompt=True)
    report.same(f"{name} text", prompt["text"], templated)
    text = tokenizer.decode(prompt["greedy_ids"], skip_special_tokens=True)
    report.same(f"{name} greedy_text", prompt["greedy_text"], text)


def check_top(report, name, quantity, expected, logits):
    best = logits.topk(len(expected))
    report.same(f"{name} {quantity} ids", [item["id"] for item in expected], best.indices.tolist())
    report.close(name, f"{quantity} logits", [i["logit"] for i in expected], best.values.tolist(), LOGIT_TOLERANCE)


def check_routing(report, name, expected, actual):
    report.same(f"{name} layer {expected['layer']} experts", expected["experts"], actual["experts"])
    report.close(name, "expert weights", expected["weights"], actual["weights"], WEIGHT_TOLERANCE)


def check_greedy(report, model, prompt, name):
    """One full pass over prompt and continuation must choose each token of the continuation."""
    ids, greedy = prompt["token_ids"], prompt["greedy_ids"]
    logits = model(torch.tensor([ids + greedy[:-1]]), use_cache=False).logits[0, len(ids) - 1 :]
    report.same(f"{name} greedy_ids", greedy, logits.argmax(-1).tolist())
    best = logits.topk(2, dim=-1).values
    gap = (best[:, 0] - best[:, 1]).min().item()
    report.margin("greedy top-2 gap", gap)
    report.close(name, "greedy_min_logit_gap", [prompt["greedy_min_logit_gap"]], [gap], LOGIT_TOLERANCE)


def check_mtp(report, model, mtp, prompt, name):
    expected, ids = prompt["mtp"], prompt["token_ids"]
    report.same(f"{name} mtp given_token", expected["given_token"], prompt["greedy_ids"][0])
    recorder = RouterRecorder(model.config, [(mtp.index, mtp.layer)])
    hidden = model.model(torch.tensor([ids])).last_hidden_state
    logits = mtp(hidden, torch.tensor(ids[1:] + [expected["given_token"]]))[-1]
    recorder.close()
    check_top(report, name, "mtp top3", expected["top3"], logits)
    actual = recorder.routing(len(ids) - 1)[0]
    check_routing(report, f"{name} mtp", {"layer": mtp.index, **expected}, actual)
    guess = logits.argmax().item()
    report.same(f"{name} mtp accepted", expected["accepted"], guess == (prompt["greedy_ids"] + [None])[1])


@torch.no_grad()
def check_prompt(report, model, mtp, tokenizer, prompt, name):
    check_tokens(report, tokenizer, prompt, name)
    recorder = RouterRecorder(model.config, enumerate(model.model.layers))
    logits = model(torch.tensor([prompt["token_ids"]]), use_cache=False).logits[0, -1]
    recorder.close()
    report.margin("router gap", recorder.smallest_gap())
    check_top(report, name, "top5", prompt["top5"], logits)
    routing = recorder.routing(len(prompt["token_ids"]) - 1)
    report.same(f"{name} MoE layers", [e["layer"] for e in prompt["moe"]], [a["layer"] for a in routing])
    for expected, actual in zip(prompt["moe"], routing):
        check_routing(report, name, expected, actual)
    check_greedy(report, model, prompt, name)
    check_mtp(report, model, mtp, prompt, name)


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "models" / "pocket-dictionary"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=default, help="the model folder")
    folder = parser.parse_args().model
    config = json.loads((folder / "config.json").read_text())
    model = load_reference(Family(config), folder)
    mtp = MtpModule(model, load_float32(folder))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    report = Report()
    prompts = json.loads((folder / "golden.json").read_text())["prompts"]
    for index, prompt in enumerate(prompts):
        check_prompt(report, model, mtp, tokenizer, prompt, f"prompt {index}")
    print(f"{len(prompts)} prompts")
    report.show()
    sys.exit(1 if report.disagreements else 0)


if __name__ == "__main__":
    main()

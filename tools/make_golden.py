#!/usr/bin/env python3
"""Writes tests/golden: tiny random checkpoints of every supported family with reference outputs.

The reference is Hugging Face transformers, float32, eager attention, on the weights as stored. See tools/README.md for
how to run it and tests/golden/README.md for the format of what it writes.
"""

import argparse
import hashlib
import json
import pathlib
import tempfile

import torch
import transformers
from safetensors.torch import save_file

from golden_families import FAMILIES
from golden_prompts import bf16_agreement, choose_prompt, measure_noise, run
from golden_reference import RouterRecorder, bfloat16_copy, checkpoint_shapes, empty_model, load_reference
from golden_weights import make_tensors, write_checkpoint, write_json

PROMPT_LENGTHS = (1, 7, 33, 70)
MIN_TOP2_GAP = 0.1
MIN_ROUTER_MARGIN = 2.0


@torch.no_grad()
def cached_logits(model, sequence, prompt_length):
    """The same logits as one full pass, computed as a server does: prefill, then one token at a time."""
    output = model(sequence[:, :prompt_length], use_cache=True)
    logits = [output.logits[0]]
    for position in range(prompt_length, sequence.shape[1]):
        output = model(sequence[:, position : position + 1], past_key_values=output.past_key_values, use_cache=True)
        logits.append(output.logits[0])
    return torch.cat(logits)


@torch.no_grad()
def golden_prompt(model, bf16_model, noise, prompt, greedy):
    """Runs one prompt with its greedy continuation; returns (golden.json entry, logits [rows, vocab], recorder)."""
    sequence = torch.tensor([prompt + greedy[:-1]])
    logits, recorder = run(model, sequence)
    logits = logits[0]
    steps = logits[len(prompt) - 1 :]
    if steps.argmax(-1).tolist() != greedy:
        raise AssertionError("a full pass and the cached search disagree on the greedy tokens")
    best = steps.topk(2, dim=-1).values
    sparse = bool(recorder.gaps)
    bf16 = bf16_agreement(model, bf16_model, prompt, greedy)
    entry = {
        "token_ids": prompt,
        "greedy_ids": greedy,
        "min_top2_gap": (best[:, 0] - best[:, 1]).min().item(),
        "min_router_gap": recorder.smallest_gap(),
        "min_router_margin": recorder.smallest_margins(1, noise.routers).item() if sparse else None,
        "cached_max_abs_diff": (cached_logits(model, sequence, len(prompt)) - logits).abs().max().item(),
        "bf16_max_abs_diff": bf16["max_abs_diff"],
        "bf16_relative_l2": bf16["relative_l2"],
        "bf16_greedy_agrees": bf16["greedy_agrees"],
        "bf16_expert_flips": bf16["expert_flips"],
        "last_position_routing": recorder.routing(len(prompt) - 1),
    }
    if entry["min_top2_gap"] < MIN_TOP2_GAP or (sparse and entry["min_router_margin"] < MIN_ROUTER_MARGIN):
        raise AssertionError(f"prompt of {len(prompt)} tokens is too ambiguous: {entry}")
    return entry, logits, recorder


def make_family(name, root):
    family, folder = FAMILIES[name], pathlib.Path(root) / name
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    write_checkpoint(family, make_tensors(family, checkpoint_shapes(empty_model(family)), seed), folder)
    model = load_reference(family, folder)
    bf16_model = bfloat16_copy(family, folder)
    generator = torch.Generator().manual_seed(seed + 1)
    noise = measure_noise(model, bf16_model, generator)
    entries, tensors, used = [], {}, {}
    for index, length in enumerate(PROMPT_LENGTHS):
        prompt, greedy = choose_prompt(model, bf16_model, noise, length, generator)
        entry, logits, recorder = golden_prompt(model, bf16_model, noise, prompt, greedy)
        entries.append(entry)
        for layer, experts in recorder.experts.items():
            used.setdefault(layer, set()).update(experts.flatten().tolist())
        tensors[f"prompt_{index}.logits"] = logits.contiguous()
    save_file(tensors, folder / "golden.safetensors")
    golden = {
        "format": 1,
        "name": name,
        "reference": {"transformers": transformers.__version__, "torch": torch.__version__, "dtype": "float32"},
        "logits_std": torch.cat(list(tensors.values())).std().item(),
        "prompts": entries,
    }
    write_json(folder / "golden.json", golden)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(
        f"{name:20} {size / 1e3:7.0f} kB  logit std {golden['logits_std']:.2f}, noise {noise.logits:.4f}, routers "
        f"{', '.join(f'{n:.4f}' for n in noise.routers.values())}, experts used {[len(e) for e in used.values()]}"
    )
    for entry in entries:
        print(
            f"    {len(entry['token_ids']):3} tokens: top-2 gap {entry['min_top2_gap']:.3f}, router gap "
            f"{entry['min_router_gap'] or 0:.5f}, margin {entry['min_router_margin'] or 0:.1f}, cached "
            f"{entry['cached_max_abs_diff']:.1e}, bf16 {entry['bf16_max_abs_diff']:.2f} "
            f"{entry['bf16_relative_l2']:.1e} {entry['bf16_greedy_agrees']} {entry['bf16_expert_flips']} flips, "
            f"{len(set(entry['greedy_ids']))} distinct",
            flush=True,
        )


@torch.no_grad()
def dump_layers(name, root, out):
    """Writes hidden states after the embedding, each layer and the final norm, for every golden prompt."""
    family, folder = FAMILIES[name], pathlib.Path(root) / name
    golden = json.loads((folder / "golden.json").read_text())
    model = load_reference(family, folder)
    recorder, tensors = RouterRecorder(model.config, enumerate(model.model.layers)), {}
    for index, prompt in enumerate(golden["prompts"]):
        states = {}
        modules = {"embedding": model.model.embed_tokens, "final_norm": model.model.norm}
        modules.update({f"layer_{i}": layer for i, layer in enumerate(model.model.layers)})
        modules.update({f"layer_{i}.attention": layer.self_attn for i, layer in enumerate(model.model.layers)})
        handles = [m.register_forward_hook(_keep(states, key)) for key, m in modules.items()]
        states["logits"] = model(torch.tensor([prompt["token_ids"] + prompt["greedy_ids"][:-1]])).logits[0]
        for handle in handles:
            handle.remove()
        for layer in recorder.experts:
            states[f"layer_{layer}.experts"] = recorder.experts[layer]
            states[f"layer_{layer}.expert_weights"] = recorder.weights[layer]
        tensors.update({f"prompt_{index}.{key}": value.contiguous() for key, value in states.items()})
    save_file(tensors, out)
    print(f"{out}: {len(tensors)} tensors")


def _keep(states, key):
    def hook(_module, _inputs, output):
        states[key] = (output[0] if isinstance(output, tuple) else output).reshape(-1, output[0].shape[-1]).clone()

    return hook


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Names: {', '.join(FAMILIES)}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default_root = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to make (default: all)")
    parser.add_argument("--out", type=pathlib.Path, default=default_root, help="where to write (default: tests/golden)")
    parser.add_argument("--dump-layers", metavar="NAME", help="write hidden states of an existing checkpoint instead")
    arguments = parser.parse_args()
    for name in [*arguments.names, *filter(None, [arguments.dump_layers])]:
        if name not in FAMILIES:
            parser.error(f"unknown checkpoint '{name}'; choose from {', '.join(FAMILIES)}")
    torch.set_num_threads(2)
    if arguments.dump_layers:
        out = pathlib.Path(tempfile.gettempdir()) / f"golden-layers-{arguments.dump_layers}.safetensors"
        dump_layers(arguments.dump_layers, arguments.out, out)
        return
    for name in arguments.names or FAMILIES:
        make_family(name, arguments.out)


if __name__ == "__main__":
    main()

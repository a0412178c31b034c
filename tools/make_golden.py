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
from golden_reference import RouterRecorder, checkpoint_shapes, empty_model, load_reference
from golden_weights import make_tensors, write_checkpoint, write_json

PROMPT_LENGTHS = (1, 7, 33, 70)
GREEDY_STEPS = 16
CANDIDATES = 512
FINALISTS = 24
MIN_TOP2_GAP = 0.05
MIN_ROUTER_GAP = 1e-4


@torch.no_grad()
def choose_prompt(model, bf16_model, length, generator):
    """Draws many random prompts and returns one whose greedy path is not ambiguous, with that path.

    Of the clearest ones it takes the one whose margin survives best when everything is computed in bfloat16.
    """
    vocab, eos = model.config.vocab_size, model.config.eos_token_id
    prompts = torch.randint(3, vocab, (CANDIDATES, length), generator=generator)
    if length == 1:
        prompts = torch.randperm(vocab - 3, generator=generator)[:CANDIDATES, None] + 3
    rows = len(prompts)
    recorder = RouterRecorder(model.config, enumerate(model.model.layers))
    top2_gap, router_gap = torch.full((rows,), torch.inf), torch.full((rows,), torch.inf)
    cache, step, greedy = None, prompts, []
    for _ in range(GREEDY_STEPS):
        output = model(step, past_key_values=cache, use_cache=True)
        best = output.logits[:, -1].topk(2, dim=-1)
        top2_gap = torch.minimum(top2_gap, best.values[:, 0] - best.values[:, 1])
        router_gap = torch.minimum(router_gap, recorder.smallest_gaps(rows))
        cache, step = output.past_key_values, best.indices[:, :1]
        greedy.append(step)
    recorder.close()
    greedy = torch.cat(greedy, dim=1)
    varied = torch.tensor([len(set(row.tolist())) >= GREEDY_STEPS // 2 and eos not in row for row in greedy])
    quality = torch.minimum(top2_gap / 0.5, router_gap / 0.002).where(varied, torch.tensor(-1.0))
    clearest = quality.topk(FINALISTS).indices
    clearest = clearest[quality[clearest] > 0]
    sequences = torch.cat([prompts, greedy[:, :-1]], dim=1)[clearest]
    drift = model(sequences, use_cache=False).logits - bf16_model(sequences, use_cache=False).logits.float()
    winner = clearest[(top2_gap[clearest] / drift.abs().amax(dim=(1, 2))).argmax()]
    return prompts[winner].tolist(), greedy[winner].tolist()


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
def golden_prompt(model, bf16_model, prompt, greedy):
    """Runs one prompt with its greedy continuation; returns (golden.json entry, logits [rows, vocab])."""
    sequence = torch.tensor([prompt + greedy[:-1]])
    recorder = RouterRecorder(model.config, enumerate(model.model.layers))
    logits = model(sequence, use_cache=False).logits[0]
    recorder.close()
    steps = logits[len(prompt) - 1 :]
    if steps.argmax(-1).tolist() != greedy:
        raise AssertionError("a full pass and the cached search disagree on the greedy tokens")
    best = steps.topk(2, dim=-1).values
    bf16_logits = bf16_model(sequence, use_cache=False).logits[0].float()
    entry = {
        "token_ids": prompt,
        "greedy_ids": greedy,
        "min_top2_gap": (best[:, 0] - best[:, 1]).min().item(),
        "min_router_gap": recorder.smallest_gaps(1).item() if recorder.gaps else None,
        "cached_max_abs_diff": (cached_logits(model, sequence, len(prompt)) - logits).abs().max().item(),
        "bf16_max_abs_diff": (bf16_logits - logits).abs().max().item(),
        "bf16_greedy_agrees": bf16_logits[len(prompt) - 1 :].argmax(-1).tolist() == greedy,
        "last_position_routing": recorder.routing(len(prompt) - 1),
    }
    if entry["min_top2_gap"] < MIN_TOP2_GAP or (entry["min_router_gap"] or 1) < MIN_ROUTER_GAP:
        raise AssertionError(f"prompt of {len(prompt)} tokens is too ambiguous: {entry}")
    return entry, logits


def make_family(name, root):
    family, folder = FAMILIES[name], pathlib.Path(root) / name
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    write_checkpoint(family, make_tensors(family, checkpoint_shapes(empty_model(family)), seed), folder)
    model = load_reference(family, folder)
    bf16_model = load_reference(family, folder).to(torch.bfloat16)
    generator = torch.Generator().manual_seed(seed + 1)
    entries, tensors = [], {}
    for index, length in enumerate(PROMPT_LENGTHS):
        entry, logits = golden_prompt(model, bf16_model, *choose_prompt(model, bf16_model, length, generator))
        entries.append(entry)
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
    print(f"{name:20} {size / 1e3:7.0f} kB  logit std {golden['logits_std']:.2f}")
    for entry in entries:
        print(
            f"    {len(entry['token_ids']):3} tokens: top-2 gap {entry['min_top2_gap']:.3f}, router gap "
            f"{entry['min_router_gap'] or 0:.5f}, cached {entry['cached_max_abs_diff']:.1e}, bf16 "
            f"{entry['bf16_max_abs_diff']:.2f} {entry['bf16_greedy_agrees']}, "
            f"{len(set(entry['greedy_ids']))} distinct"
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

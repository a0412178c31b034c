"""The search for golden prompts: random ones on which rounding to bfloat16 changes neither an expert nor a greedy token.

Random weights put some router choice near a tie in almost every long prompt. There a rounding error picks another
expert, which says nothing about whether an engine is right. So prompts grow token by token from random candidates, each
kept only if the routers decide clearly on it, and many grown prompts compete with their greedy continuations. All
margins are counted in units of `Noise`; only the reference takes part in the choice.
"""

import dataclasses

import torch

from golden_reference import RouterRecorder

GREEDY_STEPS = 16
PARENTS = 64
BRANCHES = 6
LAST_BRANCHES = 16
FINALISTS = 48
CLEAR_MARGIN = 40.0
_NOISE_SAMPLES = 64
_NOISE_LENGTH = 24


@dataclasses.dataclass(frozen=True)
class Noise:
    """The median change when the reference computes everything in bfloat16: of the logits, of each router's logits."""

    logits: float
    routers: dict


@torch.no_grad()
def measure_noise(model, bf16_model, generator):
    prompts = torch.randint(3, model.config.vocab_size, (_NOISE_SAMPLES, _NOISE_LENGTH), generator=generator)
    logits, recorder = run(model, prompts)
    bf16_logits, bf16_recorder = run(bf16_model, prompts)
    routers = {n: (bf16_recorder.logits[n] - z).abs().median().item() for n, z in recorder.logits.items()}
    return Noise((bf16_logits - logits).abs().median().item(), routers)


@torch.no_grad()
def run(model, sequences):
    """One full pass; returns (float32 logits, the closed recorder of its routers)."""
    recorder = RouterRecorder(model.config, enumerate(model.model.layers))
    logits = model(sequences, use_cache=False).logits.float()
    recorder.close()
    return logits, recorder


class _Search:
    """A batch of growing sequences with their caches and the smallest margins met so far."""

    def __init__(self, model, noise):
        self._model, self._noise, self._cache = model, noise, None
        self._recorder = RouterRecorder(model.config, enumerate(model.model.layers))
        self.tokens = torch.zeros((PARENTS, 0), dtype=torch.long)
        self.router_margin = torch.full((PARENTS,), torch.inf)

    def close(self):
        self._recorder.close()

    def branch(self, count):
        """Repeats every sequence `count` times, copies side by side."""
        self.tokens = self.tokens.repeat_interleave(count, dim=0)
        self.router_margin = self.router_margin.repeat_interleave(count)
        if self._cache is not None:
            self._cache.batch_repeat_interleave(count)

    def keep(self, rows):
        self.tokens, self.router_margin = self.tokens[rows], self.router_margin[rows]
        self._cache.batch_select_indices(rows)

    def step(self, tokens):
        """Appends tokens [rows, 1]; returns the logits [rows, vocab] after them."""
        output = self._model(tokens, past_key_values=self._cache, use_cache=True)
        self._cache = output.past_key_values
        self.tokens = torch.cat([self.tokens, tokens], dim=1)
        margin = self._recorder.smallest_margins(len(tokens), self._noise.routers)
        self.router_margin = torch.minimum(self.router_margin, margin)
        return output.logits[:, -1]


def _grow_prompts(search, vocab, length, generator):
    """Leaves PARENTS * LAST_BRANCHES prompts in `search`, or all of one token; returns their next-token logits."""
    if length == 1:
        tokens = torch.arange(3, vocab)[:, None]
        search.branch(-(-len(tokens) // PARENTS))
        search.tokens, search.router_margin = search.tokens[: len(tokens)], search.router_margin[: len(tokens)]
        return search.step(tokens)
    for _ in range(length - 1):
        search.branch(BRANCHES)
        search.step(torch.randint(3, vocab, (PARENTS * BRANCHES, 1), generator=generator))
        clarity = search.router_margin.clamp(max=CLEAR_MARGIN).view(PARENTS, BRANCHES)
        search.keep(clarity.argmax(dim=1) + BRANCHES * torch.arange(PARENTS))
    search.branch(LAST_BRANCHES)
    return search.step(torch.randint(3, vocab, (PARENTS * LAST_BRANCHES, 1), generator=generator))


def _finalists(model, noise, length, generator):
    """The sequences with the largest margins, best first: [(prompt ids, greedy ids)]."""
    vocab, eos = model.config.vocab_size, model.config.eos_token_id
    search = _Search(model, noise)
    logits = _grow_prompts(search, vocab, length, generator)
    top2_gap = torch.full((len(logits),), torch.inf)
    for step in range(GREEDY_STEPS):
        best = logits.topk(2, dim=-1)
        top2_gap = torch.minimum(top2_gap, best.values[:, 0] - best.values[:, 1])
        logits = search.step(best.indices[:, :1])
        if step == GREEDY_STEPS - 2:
            margin = search.router_margin
    search.close()
    greedy = search.tokens[:, length:]
    varied = torch.tensor([len(set(row.tolist())) >= GREEDY_STEPS // 2 and eos not in row for row in greedy])
    quality = torch.minimum(top2_gap / noise.logits, margin).where(varied, torch.tensor(-1.0))
    order = [i for i in quality.topk(min(FINALISTS, len(quality))).indices.tolist() if quality[i] > 0]
    return [(search.tokens[i, :length].tolist(), greedy[i].tolist()) for i in order]


def bf16_agreement(model, bf16_model, prompt, greedy):
    """How the bfloat16 run of the reference compares: {greedy_agrees, expert_flips, relative_l2, max_abs_diff}."""
    sequence = torch.tensor([prompt + greedy[:-1]])
    logits, recorder = run(model, sequence)
    bf16_logits, bf16_recorder = run(bf16_model, sequence)
    difference = bf16_logits - logits
    return {
        "greedy_agrees": bf16_logits[0, len(prompt) - 1 :].argmax(-1).tolist() == greedy,
        "expert_flips": recorder.flips(bf16_recorder),
        "relative_l2": (difference.norm() / logits.norm()).item(),
        "max_abs_diff": difference.abs().max().item(),
    }


@torch.no_grad()
def choose_prompt(model, bf16_model, noise, length, generator):
    """Returns (prompt ids, greedy ids): the finalist with the largest margin that bfloat16 leaves unchanged.

    Where bfloat16 changes something in every finalist, the one with the fewest expert flips.
    """
    best = None
    for prompt, greedy in _finalists(model, noise, length, generator):
        agreement = bf16_agreement(model, bf16_model, prompt, greedy)
        harm = (not agreement["greedy_agrees"], agreement["expert_flips"])
        if best is None or harm < best[0]:
            best = (harm, prompt, greedy)
        if harm == (False, 0):
            break
    return best[1:]

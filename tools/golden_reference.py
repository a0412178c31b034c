"""The reference: transformers models loaded from a golden checkpoint, and a recorder of what their routers choose."""

import copy

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from golden_weights import load_float32


def empty_model(family):
    """A transformers model of this family with weights yet to be loaded."""
    config = copy.deepcopy(family.config)
    model_type = family.reference_type or config["model_type"]
    config.pop("model_type")
    config = AutoConfig.for_model(model_type, **config)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
    return model.eval()


def checkpoint_shapes(model):
    tied = model.config.tie_word_embeddings
    names = model.state_dict()
    return {n: tuple(t.shape) for n, t in names.items() if not (tied and n == "lm_head.weight")}


def load_reference(family, folder):
    """The float32 reference model with the weights stored in `folder`."""
    model = empty_model(family)
    tensors = load_float32(folder)
    mtp = f"model.layers.{family.config['num_hidden_layers']}."
    tensors = {name: value for name, value in tensors.items() if not name.startswith(mtp)}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    tied = ["lm_head.weight"] if model.config.tie_word_embeddings else []
    if missing != tied or unexpected:
        raise ValueError(f"{folder}: missing tensors {missing}, unexpected tensors {unexpected}")
    model.tie_weights()
    _apply_deepseek_v2_attention_scale(model)
    return model


def _apply_deepseek_v2_attention_scale(model):
    """Multiplies the softmax scale by mscale squared, as DeepSeek's own V2 code does.

    transformers 4.57 does so for V3 but not for V2, where published checkpoints ask for it (mscale_all_dim 0.707).
    """
    scaling = model.config.rope_scaling
    if model.config.model_type != "deepseek_v2" or not scaling or not scaling.get("mscale_all_dim"):
        return
    mscale = 0.1 * scaling["mscale_all_dim"] * torch.log(torch.tensor(float(scaling["factor"]))).item() + 1.0
    for layer in model.model.layers:
        layer.self_attn.scaling *= mscale * mscale


def bfloat16_copy(family, folder):
    """The reference with bfloat16 weights and activations; the router bias stays float32, as transformers keeps it."""
    model = load_reference(family, folder)
    biases = {name: b for name, b in model.named_buffers() if name.endswith("e_score_correction_bias")}
    biases = {name: b.clone() for name, b in biases.items()}
    model.to(torch.bfloat16)
    for name, bias in biases.items():
        module, _, buffer = name.rpartition(".")
        setattr(model.get_submodule(module), buffer, bias)
    return model


class RouterRecorder:
    """Recomputes every router's choice from its input, in float32, while the layers run; holds the last pass.

    gaps[layer], margins[layer]: how far, per row, the closest choice was from going the other way: in the score that is
    compared, and as the change of router logits that it takes. experts[layer], weights[layer]: the choice, best first,
    [rows, top_k]. logits[layer]: [rows, experts].
    """

    def __init__(self, config, layers):
        """`layers`: decoder layers with their indices, as enumerate() gives them."""
        self._config = config
        self._handles = []
        self.logits, self.gaps, self.margins, self.experts, self.weights = {}, {}, {}, {}, {}
        for index, layer in layers:
            for name, module in layer.named_modules():
                if name in ("mlp.gate", "block_sparse_moe.gate"):
                    self._handles.append(module.register_forward_hook(self._hook(index)))

    def close(self):
        for handle in self._handles:
            handle.remove()

    def smallest_gap(self):
        return min((gap.min().item() for gap in self.gaps.values()), default=None)

    def smallest_margins(self, sequences, noise):
        """Of each of `sequences` equally long sequences, in units of noise[layer]; infinite without routers."""
        margins = [(margin / noise[n]).view(sequences, -1).min(dim=1)[0] for n, margin in self.margins.items()]
        return torch.stack(margins).min(dim=0)[0] if margins else torch.full((sequences,), torch.inf)

    def flips(self, other):
        """The number of rows and layers for which `other` chose a different set of experts."""
        pairs = [(self.experts[n].sort(-1)[0], other.experts[n].sort(-1)[0]) for n in self.experts]
        return sum((a != b).any(dim=-1).sum().item() for a, b in pairs)

    def routing(self, row):
        """What each router chose for one row, as golden.json writes it."""
        return [
            {
                "layer": layer,
                "experts": self.experts[layer][row].tolist(),
                "weights": [round(weight, 7) for weight in self.weights[layer][row].tolist()],
            }
            for layer in sorted(self.experts)
        ]

    def _hook(self, layer):
        def record(module, inputs, output):
            # Gates that choose themselves return the choice; the others are linear layers and return logits.
            chosen = output[0] if isinstance(output, tuple) else None
            hidden = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
            logits = hidden @ module.weight.float().T if chosen is not None else output.float()
            logits = logits.reshape(len(hidden), -1)
            bias = getattr(module, "e_score_correction_bias", None)
            gap, margin, experts, weights = self._route(logits, bias)
            if chosen is not None:
                theirs = chosen.sort(dim=-1)[0].view(experts.shape)
                # An exact tie may fall either way; the gap then says so and the prompt is dropped.
                if not torch.equal(theirs, experts.sort(dim=-1)[0]) and gap.min() > 1e-6:
                    raise AssertionError(f"layer {layer}: recomputed experts differ from transformers'")
            self.logits[layer], self.gaps[layer], self.margins[layer] = logits, gap, margin
            self.experts[layer], self.weights[layer] = experts, weights

        return record

    def _route(self, logits, bias):
        config, softmax = self._config, bias is None

        def distances(higher, lower, terms):
            """In the score, and in router logits; a sigmoid is at most 1/4 steep, errors of `terms` of them add up."""
            gap = higher - lower
            return gap, (higher / lower).log() if softmax else gap * (4.0 / terms**0.5)

        scores = logits.softmax(-1) if softmax else logits.sigmoid()
        choice = scores if softmax else scores + bias.float()
        gap = margin = torch.full((logits.shape[0],), torch.inf)
        groups = getattr(config, "n_group", None) or 1
        if groups > 1:
            grouped = choice.view(len(choice), groups, -1)
            rank = grouped.max(-1)[0] if softmax else grouped.topk(2, dim=-1)[0].sum(-1)
            order = rank.sort(dim=-1, descending=True)
            gap, margin = distances(order[0][:, config.topk_group - 1], order[0][:, config.topk_group], 2)
            kept = torch.zeros_like(rank).scatter(1, order[1][:, : config.topk_group], 1.0)
            choice = grouped.masked_fill(kept[:, :, None] == 0, 0.0 if softmax else -torch.inf).view_as(choice)
        top_k = config.num_experts_per_tok
        best, index = choice.sort(dim=-1, descending=True)
        expert_gap, expert_margin = distances(best[:, top_k - 1], best[:, top_k], 1)
        gap, margin = torch.minimum(gap, expert_gap), torch.minimum(margin, expert_margin)
        experts = index[:, :top_k]
        weights = scores.gather(1, experts)
        normalise = config.model_type == "mixtral" or getattr(config, "norm_topk_prob", False)
        weights = weights / weights.sum(-1, keepdim=True) if normalise else weights
        return gap, margin, experts, weights * getattr(config, "routed_scaling_factor", 1.0)

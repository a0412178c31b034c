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


class RouterRecorder:
    """Recomputes every router's choice from its input, in float32, while the layers run; holds the last pass.

    gaps[layer]: how far, per row, the closest choice was from going the other way, in units of the score that is
    compared. experts[layer], weights[layer]: the choice, best first, [rows, top_k].
    """

    def __init__(self, config, layers):
        """`layers`: decoder layers with their indices, as enumerate() gives them."""
        self._config = config
        self._handles = []
        self.gaps, self.experts, self.weights = {}, {}, {}
        for index, layer in layers:
            for name, module in layer.named_modules():
                if name in ("mlp.gate", "block_sparse_moe.gate"):
                    self._handles.append(module.register_forward_hook(self._hook(index)))

    def close(self):
        for handle in self._handles:
            handle.remove()

    def smallest_gaps(self, sequences):
        """The smallest router gap of each of `sequences` equally long sequences; infinite without routers."""
        gaps = [gap.view(sequences, -1).min(dim=1)[0] for gap in self.gaps.values()]
        return torch.stack(gaps).min(dim=0)[0] if gaps else torch.full((sequences,), torch.inf)

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
            with torch.no_grad():
                gap, experts, weights = self._route(module, inputs[0])
            if isinstance(output, tuple):
                theirs = output[0].sort(dim=-1)[0].view(experts.shape)
                # An exact tie may fall either way; the gap then says so and the prompt is dropped.
                if not torch.equal(theirs, experts.sort(dim=-1)[0]) and gap.min() > 1e-6:
                    raise AssertionError(f"layer {layer}: recomputed experts differ from transformers'")
            self.gaps[layer], self.experts[layer], self.weights[layer] = gap, experts, weights

        return record

    def _route(self, gate, hidden):
        config = self._config
        logits = hidden.reshape(-1, hidden.shape[-1]).float() @ gate.weight.float().T
        bias = getattr(gate, "e_score_correction_bias", None)
        scores = logits.softmax(-1) if bias is None else logits.sigmoid()
        choice = scores if bias is None else scores + bias
        gap = torch.full((logits.shape[0],), torch.inf)
        groups = getattr(config, "n_group", None) or 1
        if groups > 1:
            grouped = choice.view(len(choice), groups, -1)
            rank = grouped.max(-1)[0] if bias is None else grouped.topk(2, dim=-1)[0].sum(-1)
            order = rank.sort(dim=-1, descending=True)
            gap = order[0][:, config.topk_group - 1] - order[0][:, config.topk_group]
            kept = torch.zeros_like(rank).scatter(1, order[1][:, : config.topk_group], 1.0)
            choice = grouped.masked_fill(kept[:, :, None] == 0, -torch.inf).view_as(choice)
        top_k = config.num_experts_per_tok
        best, index = choice.sort(dim=-1, descending=True)
        gap = torch.minimum(gap, best[:, top_k - 1] - best[:, top_k])
        experts = index[:, :top_k]
        weights = scores.gather(1, experts)
        normalise = config.model_type == "mixtral" or getattr(config, "norm_topk_prob", False)
        weights = weights / weights.sum(-1, keepdim=True) if normalise else weights
        return gap, experts, weights * getattr(config, "routed_scaling_factor", 1.0)

"""Published shapes of well-known Mixture-of-Experts models, and the tensors that a checkpoint of such a shape has."""

import copy
import dataclasses

# config.json as published, without what only names Python code.
_OLMOE_1B_7B = {
    "architectures": ["OlmoeForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "clip_qkv": None,
    "eos_token_id": 50279,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 1024,
    "max_position_embeddings": 4096,
    "model_type": "olmoe",
    "norm_topk_prob": False,
    "num_attention_heads": 16,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 16,
    "num_key_value_heads": 16,
    "output_router_logits": False,
    "pad_token_id": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "router_aux_loss_coef": 0.01,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 50304,
}

_QWEN3_30B_A3B = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "decoder_sparse_step": 1,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 6144,
    "max_position_embeddings": 40960,
    "max_window_layers": 48,
    "mlp_only_layers": [],
    "model_type": "qwen3_moe",
    "moe_intermediate_size": 768,
    "norm_topk_prob": True,
    "num_attention_heads": 32,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "output_router_logits": False,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.001,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}

_DEEPSEEK_V2_LITE = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "aux_loss_alpha": 0.001,
    "bos_token_id": 100000,
    "eos_token_id": 100001,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "initializer_range": 0.02,
    "intermediate_size": 10944,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "model_type": "deepseek_v2",
    "moe_intermediate_size": 1408,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "norm_topk_prob": False,
    "num_attention_heads": 16,
    "num_experts_per_tok": 6,
    "num_hidden_layers": 27,
    "num_key_value_heads": 16,
    "pretraining_tp": 1,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 40,
        "mscale": 0.707,
        "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 4096,
        "type": "yarn",
    },
    "rope_theta": 10000,
    "routed_scaling_factor": 1.0,
    "scoring_func": "softmax",
    "seq_aux": True,
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "greedy",
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "v_head_dim": 128,
    "vocab_size": 102400,
}


# Nobody's model: attention and experts of a batch cost about the same, and a layer's weights fit in a cache, so that cutting
# a batch costs little. For measurements of the pipeline.
_BALANCED_TINY = _QWEN3_30B_A3B | {
    "head_dim": 32,
    "hidden_size": 256,
    "intermediate_size": 512,
    "max_position_embeddings": 4096,
    "moe_intermediate_size": 512,
    "num_attention_heads": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 8,
    "num_key_value_heads": 8,
    "vocab_size": 2048,
    "bos_token_id": 2045,
    "eos_token_id": 2047,
}

# The same with layers that take milliseconds and not a fraction of one, as those of real models do, so that what a frame costs
# besides computing is small; and with a short window, so that steps stay alike while the context grows.
_BALANCED_SMALL = _BALANCED_TINY | {
    "head_dim": 64,
    "hidden_size": 384,
    "moe_intermediate_size": 384,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "num_key_value_heads": 2,
    "max_window_layers": 0,
    "sliding_window": 32,
    "use_sliding_window": True,
}

# All weights fit in a cache of 16 MB, and every token goes to every expert: micro-batches of a step cost alike, the first of a
# layer too, which elsewhere fetches weights from memory that the others find in the cache.
_BALANCED_CACHED = _BALANCED_SMALL | {
    "hidden_size": 256,
    "moe_intermediate_size": 256,
    "num_attention_heads": 8,
    "num_experts": 2,
    "num_hidden_layers": 6,
}


@dataclasses.dataclass(frozen=True)
class Shape:
    """One model.

    config: config.json.
    special_tokens: token text to its published id; config keys refer to them by these ids.
    chat_template: in the manner of the family.
    """

    config: dict
    special_tokens: dict
    chat_template: str


SHAPES = {
    "olmoe-1b-7b": Shape(
        _OLMOE_1B_7B,
        {"<|padding|>": 1, "<|endoftext|>": 50279},
        "{{ eos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}",
    ),
    "qwen3-30b-a3b": Shape(
        _QWEN3_30B_A3B,
        {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645},
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    ),
    "balanced-tiny": Shape(
        _BALANCED_TINY,
        {"<|endoftext|>": 2045, "<|im_start|>": 2046, "<|im_end|>": 2047},
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    ),
    "balanced-small": Shape(
        _BALANCED_SMALL,
        {"<|endoftext|>": 2045, "<|im_start|>": 2046, "<|im_end|>": 2047},
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    ),
    "balanced-cached": Shape(
        _BALANCED_CACHED,
        {"<|endoftext|>": 2045, "<|im_start|>": 2046, "<|im_end|>": 2047},
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    ),
    "deepseek-v2-lite": Shape(
        _DEEPSEEK_V2_LITE,
        {"<｜begin▁of▁sentence｜>": 100000, "<｜end▁of▁sentence｜>": 100001},
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
        "{{ 'Assistant: ' + message['content'] + eos_token }}{% else %}{{ 'User: ' + message['content'] + '\\n\\n' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
    ),
}

_SPECIAL_ID_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")


def num_experts(config):
    return config.get("num_experts") or config["n_routed_experts"]


def cut(shape, layers=None, vocab_size=None, experts=None):
    """A copy of `shape` with fewer layers, tokens or experts. Where the vocabulary is cut, special tokens get its last ids."""
    config = copy.deepcopy(shape.config)
    special_tokens = dict(shape.special_tokens)
    if layers is not None:
        config["num_hidden_layers"] = layers
    if vocab_size is not None:
        config["vocab_size"] = vocab_size
        moved = {old: vocab_size - len(special_tokens) + i for i, old in enumerate(special_tokens.values())}
        special_tokens = {token: moved[old] for token, old in special_tokens.items()}
        config.update({key: moved[config[key]] for key in _SPECIAL_ID_KEYS if key in config})
    if experts is not None:
        key = "num_experts" if "num_experts" in config else "n_routed_experts"
        if experts < config["num_experts_per_tok"]:
            raise ValueError(f"every token needs {config['num_experts_per_tok']} experts, {experts} are too few")
        config[key] = experts
    return Shape(config, special_tokens, shape.chat_template)


def _attention(config):
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    if "kv_lora_rank" in config:
        rank, nope, rope = config["kv_lora_rank"], config["qk_nope_head_dim"], config["qk_rope_head_dim"]
        return {
            "q_proj": (heads * (nope + rope), hidden),
            "kv_a_proj_with_mqa": (rank + rope, hidden),
            "kv_a_layernorm": (rank,),
            "kv_b_proj": (heads * (nope + config["v_head_dim"]), rank),
            "o_proj": (hidden, heads * config["v_head_dim"]),
        }
    head_dim = config.get("head_dim") or hidden // heads
    key_heads = config["num_key_value_heads"]
    # OLMoE normalises the whole width, Qwen3 every head.
    full_width = config["model_type"] == "olmoe"
    return {
        "q_proj": (heads * head_dim, hidden),
        "k_proj": (key_heads * head_dim, hidden),
        "v_proj": (key_heads * head_dim, hidden),
        "o_proj": (hidden, heads * head_dim),
        "q_norm": (heads * head_dim if full_width else head_dim,),
        "k_norm": (key_heads * head_dim if full_width else head_dim,),
    }


def _mlp(hidden, intermediate):
    return {"gate_proj": (intermediate, hidden), "up_proj": (intermediate, hidden), "down_proj": (hidden, intermediate)}


def _layer(config, layer):
    hidden = config["hidden_size"]
    shapes = {"input_layernorm": (hidden,), "post_attention_layernorm": (hidden,)}
    shapes.update({f"self_attn.{name}": shape for name, shape in _attention(config).items()})
    if layer < config.get("first_k_dense_replace", 0):
        shapes.update({f"mlp.{name}": shape for name, shape in _mlp(hidden, config["intermediate_size"]).items()})
        return shapes
    expert_size = config.get("moe_intermediate_size") or config["intermediate_size"]
    shapes["mlp.gate"] = (num_experts(config), hidden)
    for expert in range(num_experts(config)):
        shapes.update({f"mlp.experts.{expert}.{name}": shape for name, shape in _mlp(hidden, expert_size).items()})
    shared = config.get("n_shared_experts", 0) * expert_size
    if shared:
        shapes.update({f"mlp.shared_experts.{name}": shape for name, shape in _mlp(hidden, shared).items()})
    return shapes


def tensor_shapes(config):
    """Every tensor of a checkpoint, in file order: name to shape [out, in] or [size]."""
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    shapes = {"model.embed_tokens.weight": (vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        shapes.update({f"model.layers.{layer}.{name}.weight": shape for name, shape in _layer(config, layer).items()})
    shapes["model.norm.weight"] = (hidden,)
    shapes["lm_head.weight"] = (vocab, hidden)
    return shapes

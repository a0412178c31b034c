"""The tiny checkpoints that make_golden.py writes: one entry per family or variant.

Sizes are odd on purpose (vocabularies that are no multiple of 8, intermediate sizes that are no multiple of 16, head
sizes that are not hidden / heads) so that code which assumes round numbers fails. Keys are those of published
config.json files.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Family:
    """One checkpoint.

    config: transformers-4 style config.json content, and what the reference model is built from.
    dtype: storage type of most tensors, "BF16", "F16", "F32" or "FP8" (block-scaled linear weights, the rest BF16).
    float32_tensors: name suffixes stored as F32 whatever `dtype` says.
    bfloat16_values: round every value to bfloat16 before it is stored in `dtype`, so that serving in bfloat16 is exact.
    query_gain: spread of the query projection; smaller makes attention less sharp, and rounding errors grow less.
    shards: number of model-*-of-*.safetensors files; 1 writes model.safetensors.
    reference_type: model_type that transformers knows, when it does not know the one in `config`.
    modern_config: write config.json in transformers-5 style (dtype, rope_parameters).
    has_mtp_layer: add the tensors of one multi-token-prediction layer, which a plain decoder must ignore.
    """

    config: dict
    dtype: str = "BF16"
    float32_tensors: tuple = ()
    bfloat16_values: bool = False
    query_gain: float = 1.3
    shards: int = 1
    reference_type: str = ""
    modern_config: bool = False
    has_mtp_layer: bool = False


def _common(architecture, model_type, **extra):
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "use_cache": True,
        **extra,
    }


def _mla(architecture="DeepseekV3ForCausalLM", model_type="deepseek_v3", **extra):
    """Multi-head latent attention with the DeepSeek-V3 router; q_a/kv_a norms use eps 1e-6 in every implementation."""
    base = {
        "attention_bias": False,
        "first_k_dense_replace": 1,
        "hidden_size": 72,
        "intermediate_size": 108,
        "kv_lora_rank": 28,
        "moe_intermediate_size": 30,
        "moe_layer_freq": 1,
        "n_group": 4,
        "n_routed_experts": 12,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "num_attention_heads": 3,
        "num_experts_per_tok": 3,
        "num_hidden_layers": 3,
        "num_key_value_heads": 3,
        "q_lora_rank": 36,
        "qk_nope_head_dim": 20,
        "qk_rope_head_dim": 12,
        "routed_scaling_factor": 2.5,
        "scoring_func": "sigmoid",
        "topk_group": 2,
        "topk_method": "noaux_tc",
        "v_head_dim": 22,
        "vocab_size": 259,
    }
    return _common(architecture, model_type, **{**base, **extra})


def _yarn(mscale, mscale_all_dim):
    return {
        "type": "yarn",
        "factor": 8,
        "original_max_position_embeddings": 256,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": mscale,
        "mscale_all_dim": mscale_all_dim,
    }


def _gqa(architecture, model_type, **extra):
    """Grouped-query attention with a head size of its own."""
    base = {
        "attention_bias": False,
        "head_dim": 20,
        "hidden_size": 72,
        "intermediate_size": 108,
        "num_attention_heads": 6,
        "num_hidden_layers": 3,
        "num_key_value_heads": 2,
        "vocab_size": 259,
    }
    return _common(architecture, model_type, **{**base, **extra})


FAMILIES = {
    "deepseek_v3": Family(
        _mla(rope_scaling=_yarn(1.0, 0.8), num_nextn_predict_layers=1, n_routed_experts=8, num_experts_per_tok=3),
        float32_tensors=("e_score_correction_bias",),
        shards=3,
        has_mtp_layer=True,
    ),
    "deepseek_v3_noqlora": Family(
        _mla(q_lora_rank=None, n_group=1, topk_group=1, n_routed_experts=9, num_experts_per_tok=4, vocab_size=263),
        float32_tensors=("e_score_correction_bias",),
        modern_config=True,
    ),
    "deepseek_v3_fp8": Family(
        _mla(
            hidden_size=160,
            intermediate_size=272,
            moe_intermediate_size=136,
            kv_lora_rank=40,
            q_lora_rank=132,
            n_routed_experts=8,
            num_experts_per_tok=2,
            rope_scaling=_yarn(1.0, 1.0),
        ),
        dtype="FP8",
        query_gain=0.7,
        float32_tensors=("e_score_correction_bias",),
        shards=2,
    ),
    "kimi_k2": Family(
        _mla(
            model_type="kimi_k2",
            n_group=1,
            topk_group=1,
            n_routed_experts=10,
            num_experts_per_tok=4,
            routed_scaling_factor=2.827,
            rope_theta=50000.0,
            rope_scaling=_yarn(1.0, 1.0),
            vocab_size=261,
        ),
        float32_tensors=("e_score_correction_bias",),
        reference_type="deepseek_v3",
    ),
    "deepseek_v2": Family(
        _mla(
            "DeepseekV2ForCausalLM",
            "deepseek_v2",
            aux_loss_alpha=0.001,
            moe_intermediate_size=22,
            n_shared_experts=2,
            norm_topk_prob=False,
            routed_scaling_factor=4.0,
            rope_scaling=_yarn(0.707, 0.707),
            scoring_func="softmax",
            topk_method="group_limited_greedy",
        ),
        query_gain=0.7,
    ),
    "deepseek_v2_lite": Family(
        _mla(
            "DeepseekV2ForCausalLM",
            "deepseek_v2",
            aux_loss_alpha=0.001,
            hidden_size=56,
            intermediate_size=84,
            moe_intermediate_size=18,
            n_group=1,
            n_routed_experts=10,
            n_shared_experts=2,
            norm_topk_prob=False,
            q_lora_rank=None,
            rope_scaling=_yarn(0.707, 0.707),
            routed_scaling_factor=1.0,
            scoring_func="softmax",
            topk_group=1,
            topk_method="greedy",
        ),
        dtype="F32",
        bfloat16_values=True,
    ),
    "qwen3_moe": Family(
        _gqa(
            "Qwen3MoeForCausalLM",
            "qwen3_moe",
            decoder_sparse_step=1,
            mlp_only_layers=[],
            moe_intermediate_size=28,
            norm_topk_prob=True,
            num_experts=9,
            num_experts_per_tok=3,
            output_router_logits=False,
            rope_theta=1000000.0,
            use_sliding_window=False,
        ),
        float32_tensors=("norm.weight",),
        shards=2,
    ),
    "qwen3_moe_sparse": Family(
        _gqa(
            "Qwen3MoeForCausalLM",
            "qwen3_moe",
            decoder_sparse_step=2,
            head_dim=14,
            mlp_only_layers=[3],
            moe_intermediate_size=28,
            norm_topk_prob=True,
            num_experts=8,
            num_experts_per_tok=2,
            num_hidden_layers=6,
            num_key_value_heads=1,
            num_attention_heads=5,
            output_router_logits=False,
            rope_theta=1000000.0,
            rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512},
            use_sliding_window=False,
            vocab_size=271,
        ),
        modern_config=True,
    ),
    "qwen2_moe": Family(
        _common(
            "Qwen2MoeForCausalLM",
            "qwen2_moe",
            decoder_sparse_step=2,
            hidden_size=72,
            intermediate_size=108,
            max_window_layers=4,
            mlp_only_layers=[],
            moe_intermediate_size=28,
            norm_topk_prob=False,
            num_attention_heads=6,
            num_experts=12,
            num_experts_per_tok=4,
            num_hidden_layers=4,
            num_key_value_heads=3,
            output_router_logits=False,
            rope_theta=1000000.0,
            shared_expert_intermediate_size=76,
            use_sliding_window=False,
            vocab_size=259,
        ),
    ),
    "mixtral": Family(
        _gqa(
            "MixtralForCausalLM",
            "mixtral",
            intermediate_size=30,
            num_experts_per_tok=2,
            num_local_experts=8,
            output_router_logits=False,
            rms_norm_eps=1e-5,
            rope_scaling={"type": "linear", "factor": 2.5},
            rope_theta=1000000.0,
            router_aux_loss_coef=0.02,
            sliding_window=None,
        ),
        dtype="F16",
        bfloat16_values=True,
    ),
    "olmoe": Family(
        _common(
            "OlmoeForCausalLM",
            "olmoe",
            attention_bias=False,
            clip_qkv=1.25,
            hidden_size=48,
            intermediate_size=28,
            norm_topk_prob=False,
            num_attention_heads=6,
            num_experts=8,
            num_experts_per_tok=3,
            num_hidden_layers=3,
            num_key_value_heads=6,
            output_router_logits=False,
            rms_norm_eps=1e-5,
            vocab_size=257,
        ),
        dtype="F32",
        bfloat16_values=True,
    ),
    "glm4_moe": Family(
        _gqa(
            "Glm4MoeForCausalLM",
            "glm4_moe",
            attention_bias=True,
            first_k_dense_replace=1,
            head_dim=24,
            moe_intermediate_size=28,
            n_group=1,
            n_routed_experts=10,
            n_shared_experts=1,
            norm_topk_prob=True,
            num_experts_per_tok=3,
            partial_rotary_factor=0.5,
            rms_norm_eps=1e-5,
            rope_theta=1000000.0,
            routed_scaling_factor=2.5,
            topk_group=1,
            use_qk_norm=True,
        ),
        float32_tensors=("e_score_correction_bias", "mlp.gate.weight"),
    ),
    "llama": Family(
        _gqa(
            "LlamaForCausalLM",
            "llama",
            head_dim=18,
            mlp_bias=False,
            num_attention_heads=4,
            rms_norm_eps=1e-5,
            rope_scaling={
                "factor": 8.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 128,
                "rope_type": "llama3",
            },
            rope_theta=500000.0,
            tie_word_embeddings=True,
        ),
        dtype="F32",
        query_gain=0.8,
    ),
    "qwen3": Family(
        _gqa(
            "Qwen3ForCausalLM",
            "qwen3",
            max_window_layers=3,
            rope_theta=1000000.0,
            tie_word_embeddings=True,
            use_sliding_window=False,
        ),
        modern_config=True,
    ),
}

"""The same weights as one GGUF file, with the tensor names and metadata of llama.cpp's converters.

Needs the gguf package. Sources: the name tables of that package and llama.cpp's conversion of the three architectures.
"""

import re

import gguf
import numpy as np
from synthetic_shapes import num_experts

_ARCHITECTURES = {"olmoe": "olmoe", "qwen3_moe": "qwen3moe", "deepseek_v2": "deepseek2"}
_GLOBAL = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "mlp.gate": "ffn_gate_inp",
    **{f"mlp.{name}_proj": f"ffn_{name}" for name in ("gate", "up", "down")},
    **{f"mlp.shared_experts.{name}_proj": f"ffn_{name}_shexp" for name in ("gate", "up", "down")},
}


class _Tensor:
    """One tensor of the file. parts: functions that give consecutive slices of it, as float32, when they are called."""

    def __init__(self, name, shape, parts):
        self.name, self.shape, self.parts = name, shape, parts


def _plain(weights, source, name):
    return _Tensor(name, weights.shapes[source], [lambda: weights.tensor(source)])


def _experts(weights, config, prefix, projection, name):
    sources = [f"{prefix}mlp.experts.{e}.{projection}.weight" for e in range(num_experts(config))]
    return _Tensor(name, (len(sources), *weights.shapes[sources[0]]),
                   [lambda source=source: weights.tensor(source) for source in sources])


def _latent_up_projections(weights, config, source, block):
    """kv_b_proj, cut into keys (transposed, for attention in the latent space) and values, head by head."""
    heads, nope, value = config["num_attention_heads"], config["qk_nope_head_dim"], config["v_head_dim"]
    rank = config["kv_lora_rank"]

    def by_head():
        return weights.tensor(source).reshape(heads, nope + value, rank)

    return [
        _Tensor(f"{block}attn_k_b.weight", (heads, rank, nope),
                [lambda: np.ascontiguousarray(by_head()[:, :nope].transpose(0, 2, 1))]),
        _Tensor(f"{block}attn_v_b.weight", (heads, value, rank), [lambda: np.ascontiguousarray(by_head()[:, nope:])]),
    ]


def _tensors(weights, config):
    for source in weights.shapes:
        stem = source.removesuffix(".weight")
        if stem in _GLOBAL:
            yield _plain(weights, source, f"{_GLOBAL[stem]}.weight")
            continue
        prefix, layer, rest = re.fullmatch(r"(model\.layers\.(\d+)\.)(.*)", stem).groups()
        block = f"blk.{layer}."
        if rest == "self_attn.kv_b_proj":
            yield from _latent_up_projections(weights, config, source, block)
        elif rest in _LAYER:
            yield _plain(weights, source, f"{block}{_LAYER[rest]}.weight")
        elif rest.startswith("mlp.experts.0."):
            projection = rest.rsplit(".", 1)[-1]
            name = f"{block}ffn_{projection.removesuffix('_proj')}_exps.weight"
            yield _experts(weights, config, prefix, projection, name)


def _stored_type(tensor, wanted):
    """Norms and gates stay float32, as in published files."""
    small = len(tensor.shape) == 1 or "ffn_gate_inp" in tensor.name
    return gguf.GGMLQuantizationType.F32 if small else wanted


def _add_metadata(writer, config, file_type):
    writer.add_file_type(file_type)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_expert_count(num_experts(config))
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if "moe_intermediate_size" in config:
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if "kv_lora_rank" in config:
        _add_latent_attention(writer, config)
        return
    writer.add_head_count_kv(config["num_key_value_heads"])
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])


def _add_latent_attention(writer, config):
    rank, rope, yarn = config["kv_lora_rank"], config["qk_rope_head_dim"], config["rope_scaling"]
    writer.add_head_count_kv(1)  # attention runs in the latent space, which all heads share
    writer.add_q_lora_rank(0)  # queries are projected directly
    writer.add_kv_lora_rank(rank)
    writer.add_key_length(rank + rope)
    writer.add_value_length(rank)
    writer.add_key_length_mla(config["qk_nope_head_dim"] + rope)
    writer.add_value_length_mla(config["v_head_dim"])
    writer.add_rope_dimension_count(rope)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(yarn["factor"])
    writer.add_rope_scaling_orig_ctx_len(yarn["original_max_position_embeddings"])
    writer.add_rope_scaling_yarn_log_mul(0.1 * yarn["mscale_all_dim"])
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SOFTMAX)


def _add_tokenizer(writer, config, vocabulary, chat_template):
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types([control if token in vocabulary.special else normal for token in vocabulary.tokens])
    writer.add_token_merges([f"{left} {right}" for left, right in vocabulary.merges])
    writer.add_eos_token_id(config["eos_token_id"])
    if "bos_token_id" in config:
        writer.add_bos_token_id(config["bos_token_id"])
    writer.add_add_bos_token(config["model_type"] == "deepseek_v2")
    writer.add_chat_template(chat_template)


def write_gguf(path, weights, shape, vocabulary, type_name, on_tensor):
    """Writes `path`. type_name: of matrices, a type that the gguf package can quantise to ("bf16", "q8_0" …). Calls on_tensor(bytes) after every tensor."""
    wanted = gguf.GGMLQuantizationType[type_name.upper()]
    prefix = "ALL_" if type_name == "f32" else "MOSTLY_"
    writer = gguf.GGUFWriter(path, _ARCHITECTURES[shape.config["model_type"]])
    _add_metadata(writer, shape.config, gguf.LlamaFileType[prefix + type_name.upper()])
    _add_tokenizer(writer, shape.config, vocabulary, shape.chat_template)
    tensors = list(_tensors(weights, shape.config))
    for tensor in tensors:
        stored = _stored_type(tensor, wanted)
        byte_shape = gguf.quant_shape_to_byte_shape(tensor.shape, stored)
        writer.add_tensor_info(tensor.name, byte_shape, np.dtype(np.uint8), int(np.prod(byte_shape)), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        stored = _stored_type(tensor, wanted)
        parts = [gguf.quants.quantize(part(), stored).view(np.uint8).ravel() for part in tensor.parts]
        data = parts[0] if len(parts) == 1 else np.concatenate(parts)
        writer.write_tensor_data(data)
        on_tensor(data.nbytes)
    writer.close()

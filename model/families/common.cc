#include <cmath>

#include "absl/strings/str_cat.h"
#include "model/families/family.h"

namespace tandem::model {
namespace {

constexpr int64_t kMaxSize = 1 << 24;

RopeSpec::Kind RopeKind(ConfigReader& config, const std::string& name) {
  if (name == "default" || name == "mrope") {
    return RopeSpec::Kind::kDefault;
  }
  if (name == "linear") {
    return RopeSpec::Kind::kLinear;
  }
  if (name == "dynamic") {
    return RopeSpec::Kind::kDynamic;
  }
  if (name == "yarn") {
    return RopeSpec::Kind::kYarn;
  }
  if (name == "llama3") {
    return RopeSpec::Kind::kLlama3;
  }
  config.Fail("rope_scaling", absl::StrCat("has type '", name, "'; supported are default, linear, dynamic, yarn, llama3"));
  return RopeSpec::Kind::kDefault;
}

compute::DType ReadDType(ConfigReader& config) {
  const std::string name = config.StringOr(config.FirstOf({"dtype", "torch_dtype"}), "float32");
  if (name == "bfloat16") {
    return compute::DType::kBF16;
  }
  if (name == "float16") {
    return compute::DType::kF16;
  }
  if (name != "float32") {
    config.Fail("torch_dtype", absl::StrCat("is '", name, "'; supported are float32, bfloat16 and float16"));
  }
  return compute::DType::kF32;
}

void ReadQuantization(ConfigReader& config, ModelSpec& spec) {
  if (!config.Has("quantization_config")) {
    return;
  }
  ConfigReader quantization(config.Object("quantization_config"));
  const std::string method = quantization.StringOr("quant_method", "");
  if (method != "fp8") {
    config.Fail("quantization_config", absl::StrCat("has quant_method '", method, "'; supported is fp8 with block scales"));
    return;
  }
  const std::vector<int64_t> block = quantization.IntsOr("weight_block_size", {});
  if (block.size() != 2 || block[0] <= 0 || block[1] <= 0) {
    config.Fail("quantization_config", "is fp8 without weight_block_size [rows, cols]; per-tensor scales are not supported");
    return;
  }
  spec.checkpoint_dtype = compute::DType::kF8E4M3;
  spec.fp8_block_rows = block[0];
  spec.fp8_block_cols = block[1];
}

}  // namespace

void ReadCommon(ConfigReader& config, ModelSpec& spec) {
  spec.model_type = config.StringOr("model_type", "");
  spec.hidden_size = config.Int("hidden_size", 1, kMaxSize);
  spec.vocab_size = config.Int("vocab_size", 1, kMaxSize);
  spec.max_position_embeddings = config.Int("max_position_embeddings", 1, 1 << 28);
  spec.rms_norm_eps = static_cast<float>(config.NumberOr("rms_norm_eps", 1e-6));
  spec.tie_word_embeddings = config.BoolOr("tie_word_embeddings", false);
  spec.layers.resize(config.Int("num_hidden_layers", 1, 10000));
  spec.num_nextn_predict_layers = static_cast<int>(config.IntOr("num_nextn_predict_layers", 0, 0, 100));
  spec.checkpoint_dtype = ReadDType(config);
  ReadQuantization(config, spec);
  const std::string activation = config.StringOr("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") {
    config.Fail("hidden_act", absl::StrCat("is '", activation, "'; supported is silu"));
  }
}

void ReadRope(ConfigReader& config, int rotary_dim, bool interleaved, RopeSpec& rope) {
  rope.rotary_dim = rotary_dim;
  rope.interleaved = interleaved;
  if (rotary_dim <= 0 || rotary_dim % 2 != 0) {
    config.Fail("head_dim", absl::StrCat("gives an odd rotary width of ", rotary_dim));
    return;
  }
  const bool new_style = config.Has("rope_parameters");
  ConfigReader scaling(config.Object(new_style ? "rope_parameters" : "rope_scaling"));
  rope.theta = new_style && scaling.Has("rope_theta") ? scaling.NumberOr("rope_theta", 10000.0)
                                                      : config.NumberOr("rope_theta", 10000.0);
  rope.kind = RopeKind(config, scaling.StringOr(scaling.FirstOf({"rope_type", "type"}), "default"));
  rope.factor = scaling.NumberOr("factor", 1.0);
  rope.original_max_position_embeddings =
      scaling.IntOr("original_max_position_embeddings",
                    config.IntOr("max_position_embeddings", 0, 0, 1 << 28), 1, 1 << 28);
  rope.beta_fast = scaling.NumberOr("beta_fast", 32.0);
  rope.beta_slow = scaling.NumberOr("beta_slow", 1.0);
  rope.mscale = scaling.NumberOr("mscale", 0.0);
  rope.mscale_all_dim = scaling.NumberOr("mscale_all_dim", 0.0);
  if (scaling.Has("attention_factor")) {
    rope.attention_factor = scaling.NumberOr("attention_factor", 1.0);
  }
  rope.truncate = scaling.BoolOr("truncate", true);
  rope.low_freq_factor = scaling.NumberOr("low_freq_factor", 1.0);
  rope.high_freq_factor = scaling.NumberOr("high_freq_factor", 4.0);
  if (!scaling.status().ok()) {
    config.Fail("rope_scaling", scaling.status().message());
  }
  if (rope.theta <= 0 || rope.factor <= 0) {
    config.Fail("rope_scaling", "needs a positive theta and factor");
  }
}

void ReadGqa(ConfigReader& config, ModelSpec& spec) {
  AttentionSpec& attention = spec.attention;
  attention.kind = AttentionKind::kGqa;
  attention.num_attention_heads = static_cast<int>(config.Int("num_attention_heads", 1, 4096));
  attention.num_key_value_heads =
      static_cast<int>(config.IntOr("num_key_value_heads", attention.num_attention_heads, 1, 4096));
  if (attention.num_attention_heads % attention.num_key_value_heads != 0) {
    config.Fail("num_attention_heads", "is not a multiple of num_key_value_heads");
  }
  attention.head_dim = static_cast<int>(
      config.IntOr("head_dim", std::max<int64_t>(1, spec.hidden_size / attention.num_attention_heads), 1, 4096));
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  double partial = config.NumberOr("partial_rotary_factor", 1.0);
  if (config.Has("rope_parameters")) {
    partial = ConfigReader(config.Object("rope_parameters")).NumberOr("partial_rotary_factor", partial);
  }
  ReadRope(config, static_cast<int>(attention.head_dim * partial), /*interleaved=*/false, attention.rope);
}

void ReadMla(ConfigReader& config, ModelSpec& spec) {
  AttentionSpec& attention = spec.attention;
  attention.kind = AttentionKind::kMla;
  attention.num_attention_heads = static_cast<int>(config.Int("num_attention_heads", 1, 4096));
  attention.q_lora_rank = static_cast<int>(config.IntOr("q_lora_rank", 0, 0, kMaxSize));
  attention.kv_lora_rank = static_cast<int>(config.Int("kv_lora_rank", 1, kMaxSize));
  attention.qk_nope_head_dim = static_cast<int>(config.Int("qk_nope_head_dim", 1, 4096));
  attention.qk_rope_head_dim = static_cast<int>(config.Int("qk_rope_head_dim", 2, 4096));
  attention.v_head_dim = static_cast<int>(config.Int("v_head_dim", 1, 4096));
  if (config.BoolOr("attention_bias", false)) {
    config.Fail("attention_bias", "is true, which no published MLA checkpoint uses; not supported");
  }
  ReadRope(config, attention.qk_rope_head_dim, config.BoolOr("rope_interleave", true), attention.rope);
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.qk_nope_head_dim + attention.qk_rope_head_dim));
  const RopeSpec& rope = attention.rope;
  if (rope.kind == RopeSpec::Kind::kYarn && rope.mscale_all_dim != 0 && rope.factor > 1) {
    const double mscale = 0.1 * rope.mscale_all_dim * std::log(rope.factor) + 1.0;
    attention.scale *= static_cast<float>(mscale * mscale);
  }
}

void ReadExperts(ConfigReader& config, ModelSpec& spec) {
  GateSpec& gate = spec.gate;
  gate.num_experts = static_cast<int>(
      config.Int(config.FirstOf({"num_experts", "n_routed_experts", "num_local_experts"}), 1, 1024));
  gate.num_experts_per_tok = static_cast<int>(config.Int("num_experts_per_tok", 1, 64));
  gate.norm_topk_prob = config.BoolOr("norm_topk_prob", false);
  gate.routed_scaling_factor = static_cast<float>(config.NumberOr("routed_scaling_factor", 1.0));
  gate.n_group = static_cast<int>(config.IntOr("n_group", 1, 1, 1024));
  gate.topk_group = static_cast<int>(config.IntOr("topk_group", gate.n_group, 1, 1024));
  if (gate.num_experts_per_tok > gate.num_experts) {
    config.Fail("num_experts_per_tok", "exceeds the number of experts");
  } else if (gate.num_experts % gate.n_group != 0 || gate.topk_group > gate.n_group) {
    config.Fail("n_group", "must divide the number of experts, and topk_group must not exceed it");
  } else if (gate.num_experts / gate.n_group * gate.topk_group < gate.num_experts_per_tok) {
    config.Fail("topk_group", "leaves fewer experts than num_experts_per_tok");
  }
  spec.moe_intermediate_size =
      config.Int(config.FirstOf({"moe_intermediate_size", "intermediate_size"}), 1, kMaxSize);
  spec.intermediate_size = config.IntOr("intermediate_size", 0, 0, kMaxSize);
}

void ReadLeadingDenseLayers(ConfigReader& config, ModelSpec& spec) {
  const int64_t dense = config.IntOr("first_k_dense_replace", 0, 0, spec.num_layers());
  for (int64_t layer = 0; layer < dense; ++layer) {
    spec.layers[layer].experts = false;
  }
  const int64_t frequency = config.IntOr("moe_layer_freq", 1, 1, 1000);
  for (int64_t layer = dense; layer < spec.num_layers(); ++layer) {
    spec.layers[layer].experts = layer % frequency == 0;
  }
}

void ReadSparseStep(ConfigReader& config, ModelSpec& spec) {
  const int64_t step = config.IntOr("decoder_sparse_step", 1, 1, 10000);
  for (int64_t layer = 0; layer < spec.num_layers(); ++layer) {
    spec.layers[layer].experts = (layer + 1) % step == 0;
  }
  for (const int64_t layer : config.IntsOr("mlp_only_layers", {})) {
    if (layer < 0 || layer >= spec.num_layers()) {
      config.Fail("mlp_only_layers", absl::StrCat("names layer ", layer, " of ", spec.num_layers()));
      return;
    }
    spec.layers[layer].experts = false;
  }
}

void MakeDense(ConfigReader& config, ModelSpec& spec) {
  spec.gate.scoring = compute::GateScoring::kAlways;
  spec.gate.num_experts = 1;
  spec.gate.num_experts_per_tok = 1;
  spec.moe_intermediate_size = config.Int("intermediate_size", 1, kMaxSize);
  spec.names.expert = spec.names.dense_mlp;
}

void ReadSlidingWindow(ConfigReader& config, ModelSpec& spec) {
  const int64_t window = config.IntOr("sliding_window", 0, 0, 1 << 28);
  if (window == 0 || !config.BoolOr("use_sliding_window", true)) {
    return;
  }
  const int64_t full_layers = config.IntOr("max_window_layers", 0, 0, 1 << 20);
  for (int64_t layer = full_layers; layer < spec.num_layers(); ++layer) {
    spec.layers[layer].sliding_window = static_cast<int>(window);
  }
}

}  // namespace tandem::model

// What a model is made of, independent of its family: the forward pass (model/decoder.h) is written once against this.
// Field names follow Hugging Face's config.json; other spellings are translated in model/families/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compute/backend.h"

namespace tandem::model {

struct RopeSpec {
  enum class Kind : uint8_t { kDefault, kLinear, kDynamic, kYarn, kLlama3 };
  Kind kind = Kind::kDefault;
  double theta = 10000.0;
  int rotary_dim = 0;
  bool interleaved = false;  // pairs (2i, 2i+1) instead of (i, i + rotary_dim / 2)
  double factor = 1.0;
  int64_t original_max_position_embeddings = 0;
  // yarn (arXiv:2309.00071)
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double mscale = 0.0;
  double mscale_all_dim = 0.0;
  std::optional<double> attention_factor;
  bool truncate = true;
  // llama3
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
};

enum class AttentionKind : uint8_t { kGqa, kMla };

struct AttentionSpec {
  AttentionKind kind = AttentionKind::kGqa;
  int num_attention_heads = 0;
  // GQA
  int num_key_value_heads = 0;
  int head_dim = 0;
  bool qkv_bias = false;
  bool o_bias = false;
  compute::QkNorm qk_norm = compute::QkNorm::kNone;
  float clip_qkv = 0;
  // MLA; q_lora_rank 0: queries are projected directly
  int q_lora_rank = 0;
  int kv_lora_rank = 0;
  int qk_nope_head_dim = 0;
  int qk_rope_head_dim = 0;
  int v_head_dim = 0;

  float scale = 1.0f;
  RopeSpec rope;

  // Elements of one position in one layer's cache.
  int key_dim() const { return kind == AttentionKind::kMla ? kv_lora_rank + qk_rope_head_dim : head_dim; }
  int value_dim() const { return kind == AttentionKind::kMla ? kv_lora_rank : head_dim; }
  int cache_heads() const { return kind == AttentionKind::kMla ? 1 : num_key_value_heads; }
};

struct GateSpec {
  compute::GateScoring scoring = compute::GateScoring::kSoftmax;
  int num_experts = 0;
  int num_experts_per_tok = 0;
  int n_group = 1;
  int topk_group = 1;
  compute::GroupScore group_score = compute::GroupScore::kMax;
  bool norm_topk_prob = false;
  float routed_scaling_factor = 1.0f;
  bool correction_bias = false;
};

struct LayerSpec {
  // Experts: gated and dispatched. Otherwise one dense MLP inside the router.
  bool experts = true;
  int sliding_window = 0;  // 0: full attention
};

// Tensor names; {L} stands for the layer, {E} for the expert. Weights end in ".weight", biases in ".bias".
struct TensorNames {
  std::string embed_tokens = "model.embed_tokens";
  std::string norm = "model.norm";
  std::string lm_head = "lm_head";
  std::string layer = "model.layers.{L}.";
  std::string input_norm = "input_layernorm";
  std::string post_attention_norm = "post_attention_layernorm";
  std::string attention = "self_attn.";
  std::string gate = "mlp.gate";
  std::string correction_bias = "mlp.gate.e_score_correction_bias";
  std::string expert = "mlp.experts.{E}.";
  std::string shared_expert = "mlp.shared_experts.";
  std::string shared_expert_gate = "mlp.shared_expert_gate";
  std::string dense_mlp = "mlp.";
  std::string gate_proj = "gate_proj";
  std::string up_proj = "up_proj";
  std::string down_proj = "down_proj";
};

struct ModelSpec {
  std::string model_type;
  int64_t hidden_size = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6f;
  bool tie_word_embeddings = false;

  AttentionSpec attention;
  GateSpec gate;
  int64_t moe_intermediate_size = 0;
  int64_t shared_intermediate_size = 0;  // 0: no shared expert
  bool shared_expert_gate = false;       // the shared expert's output is scaled by sigmoid(w · x)
  int64_t intermediate_size = 0;         // dense layers
  std::vector<LayerSpec> layers;
  int num_nextn_predict_layers = 0;  // MTP layers stored after the last; not served

  compute::DType checkpoint_dtype = compute::DType::kF32;  // what most weights are stored in (kF8E4M3 for fp8)
  int64_t fp8_block_rows = 128;
  int64_t fp8_block_cols = 128;

  TensorNames names;

  int num_layers() const { return static_cast<int>(layers.size()); }
  std::vector<int> moe_layers() const {
    std::vector<int> result;
    for (int layer = 0; layer < num_layers(); ++layer) {
      if (layers[layer].experts) {
        result.push_back(layer);
      }
    }
    return result;
  }
  int64_t expert_parameters() const { return 3 * hidden_size * moe_intermediate_size; }
};

}  // namespace tandem::model

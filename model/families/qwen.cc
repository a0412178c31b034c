// Qwen2-MoE (shared expert behind a sigmoid gate), Qwen3-MoE and dense Qwen3 (per-head QK norm).
#include "model/families/family.h"

namespace tandem::model {

void ReadQwen2Moe(ConfigReader& config, ModelSpec& spec) {
  ReadCommon(config, spec);
  ReadGqa(config, spec);
  ReadExperts(config, spec);
  ReadSparseStep(config, spec);
  ReadSlidingWindow(config, spec);
  spec.attention.qkv_bias = config.BoolOr("qkv_bias", true);
  spec.shared_intermediate_size = config.Int("shared_expert_intermediate_size", 1, 1 << 24);
  spec.shared_expert_gate = true;
  spec.names.shared_expert = "mlp.shared_expert.";
}

void ReadQwen3Moe(ConfigReader& config, ModelSpec& spec) {
  ReadCommon(config, spec);
  ReadGqa(config, spec);
  ReadExperts(config, spec);
  ReadSparseStep(config, spec);
  ReadSlidingWindow(config, spec);
  spec.attention.qkv_bias = spec.attention.o_bias = config.BoolOr("attention_bias", false);
  spec.attention.qk_norm = compute::QkNorm::kPerHead;
}

void ReadQwen3(ConfigReader& config, ModelSpec& spec) {
  ReadCommon(config, spec);
  ReadGqa(config, spec);
  MakeDense(config, spec);
  ReadSlidingWindow(config, spec);
  spec.attention.qkv_bias = spec.attention.o_bias = config.BoolOr("attention_bias", false);
  spec.attention.qk_norm = compute::QkNorm::kPerHead;
}

}  // namespace tandem::model

// Mixtral (arXiv:2401.04088), OLMoE (arXiv:2409.02060), GLM-4.5 MoE (arXiv:2508.06471) and dense Llama.
#include "model/families/family.h"

namespace tandem::model {

void ReadMixtral(ConfigReader& config, ModelSpec& spec) {
  ReadCommon(config, spec);
  ReadGqa(config, spec);
  ReadExperts(config, spec);
  ReadSlidingWindow(config, spec);
  spec.gate.norm_topk_prob = true;
  spec.names.gate = "block_sparse_moe.gate";
  spec.names.expert = "block_sparse_moe.experts.{E}.";
  spec.names.gate_proj = "w1";
  spec.names.up_proj = "w3";
  spec.names.down_proj = "w2";
}

void ReadOlmoe(ConfigReader& config, ModelSpec& spec) {
  ReadCommon(config, spec);
  ReadGqa(config, spec);
  ReadExperts(config, spec);
  spec.attention.qkv_bias = spec.attention.o_bias = config.BoolOr("attention_bias", false);
  spec.attention.qk_norm = compute::QkNorm::kFullWidth;
  spec.attention.clip_qkv = static_cast<float>(config.NumberOr("clip_qkv", 0.0));
}

void ReadGlm4Moe(ConfigReader& config, ModelSpec& spec) {
  ReadCommon(config, spec);
  ReadGqa(config, spec);
  ReadExperts(config, spec);
  ReadLeadingDenseLayers(config, spec);
  spec.attention.qkv_bias = config.BoolOr("attention_bias", false);
  spec.attention.qk_norm = config.BoolOr("use_qk_norm", false) ? compute::QkNorm::kPerHead : compute::QkNorm::kNone;
  spec.gate.scoring = compute::GateScoring::kSigmoid;
  spec.gate.group_score = compute::GroupScore::kTop2Sum;
  spec.gate.norm_topk_prob = config.BoolOr("norm_topk_prob", true);
  spec.gate.correction_bias = true;
  spec.shared_intermediate_size = config.IntOr("n_shared_experts", 1, 0, 64) * spec.moe_intermediate_size;
}

void ReadLlama(ConfigReader& config, ModelSpec& spec) {
  ReadCommon(config, spec);
  ReadGqa(config, spec);
  MakeDense(config, spec);
  spec.attention.qkv_bias = spec.attention.o_bias = config.BoolOr("attention_bias", false);
  if (config.BoolOr("mlp_bias", false)) {
    config.Fail("mlp_bias", "is true; MLP biases are not supported");
  }
}

}  // namespace tandem::model

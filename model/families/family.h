// A model family is data: a function that maps config.json onto a ModelSpec made of known blocks, and the tensor names.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/config_reader.h"
#include "model/model_spec.h"

namespace tandem::model {

struct Family {
  absl::string_view model_type;  // as in config.json
  // Fills `spec`; errors are left in the reader.
  void (*read)(ConfigReader& config, ModelSpec& spec);
};

// One per file in model/families/.
void ReadDeepseekV2(ConfigReader& config, ModelSpec& spec);
void ReadDeepseekV3(ConfigReader& config, ModelSpec& spec);
void ReadQwen2Moe(ConfigReader& config, ModelSpec& spec);
void ReadQwen3Moe(ConfigReader& config, ModelSpec& spec);
void ReadMixtral(ConfigReader& config, ModelSpec& spec);
void ReadOlmoe(ConfigReader& config, ModelSpec& spec);
void ReadGlm4Moe(ConfigReader& config, ModelSpec& spec);
void ReadLlama(ConfigReader& config, ModelSpec& spec);
void ReadQwen3(ConfigReader& config, ModelSpec& spec);

absl::Span<const Family> Families();

// --- pieces that families share (common.cc) ---------------------------------------------------------------------------

// hidden_size, vocab_size, layers (all with experts), eps, dtype, tie_word_embeddings, max_position_embeddings.
void ReadCommon(ConfigReader& config, ModelSpec& spec);
// Heads, head_dim, rope over head_dim * partial_rotary_factor, scale 1/sqrt(head_dim).
void ReadGqa(ConfigReader& config, ModelSpec& spec);
// MLA's ranks, interleaved rope, and the scale with yarn's mscale².
void ReadMla(ConfigReader& config, ModelSpec& spec);
// rope_theta with rope_scaling, or rope_parameters. `rotary_dim` must be even.
void ReadRope(ConfigReader& config, int rotary_dim, bool interleaved, RopeSpec& rope);
// Expert count and choice under the usual names (num_experts | n_routed_experts | num_local_experts …).
void ReadExperts(ConfigReader& config, ModelSpec& spec);
// The first `first_k_dense_replace` layers are dense.
void ReadLeadingDenseLayers(ConfigReader& config, ModelSpec& spec);
// decoder_sparse_step and mlp_only_layers.
void ReadSparseStep(ConfigReader& config, ModelSpec& spec);
// A dense model: its MLP is one expert that every token chooses.
void MakeDense(ConfigReader& config, ModelSpec& spec);
// use_sliding_window with max_window_layers, or a plain sliding_window.
void ReadSlidingWindow(ConfigReader& config, ModelSpec& spec);

}  // namespace tandem::model

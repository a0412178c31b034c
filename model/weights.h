// Loading a checkpoint's tensors into a backend: everything that a router holds, and single experts for expert workers.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/layer_range.h"
#include "compute/backend.h"
#include "model/checkpoint.h"
#include "model/model_spec.h"

namespace tandem::model {

// The model's arithmetic, part of what router and workers must agree on.
struct ModelDTypes {
  compute::DType weights = compute::DType::kF32;   // kF32 or kBF16: what matrices are kept in
  compute::DType wire = compute::DType::kF32;      // rows sent to experts and their outputs (compute/wire_rows.h)
  compute::DType kv_cache = compute::DType::kF32;  // or kBF16, kI8, kF8E4M3 (compute/kv_cache.h)
};

// `name` is auto, float32 or bfloat16. auto: bfloat16 for BF16 and FP8 checkpoints, float32 for F32 and F16 ones (no
// rounding of what is stored). `kv_cache` is auto (as the weights), float32, bfloat16, int8, fp8 or fp8_e4m3, the same;
// `wire` is auto (as the weights), float32, bfloat16 or fp8. Errors: INVALID_ARGUMENT.
absl::StatusOr<ModelDTypes> ChooseDTypes(absl::string_view name, absl::string_view kv_cache, const ModelSpec& spec,
                                         absl::string_view wire = "auto");

// One decoder layer's weights inside the router. Only what the layer's kind needs is set.
struct LayerWeights {
  compute::Tensor input_norm;           // [hidden_size] f32
  compute::Tensor post_attention_norm;  // [hidden_size] f32
  // GQA
  compute::MatrixPtr qkv;    // [(num_heads + 2 num_kv_heads) * head_dim, hidden_size]
  compute::Tensor qkv_bias;  // as many, f32; optional
  compute::GqaArgs gqa;
  // MLA
  compute::MatrixPtr q_a;    // [q_lora_rank, hidden_size]; absent without q_lora_rank
  compute::Tensor q_a_norm;  // [q_lora_rank] f32
  compute::MatrixPtr q_b;    // [num_heads * (nope + rope), q_lora_rank or hidden_size]
  compute::MatrixPtr kv_a;   // [kv_lora_rank + rope, hidden_size]
  compute::MatrixPtr w_uv;   // num_heads groups of [v_head_dim, kv_lora_rank]
  compute::MlaArgs mla;

  compute::AttentionArgs attention;
  compute::MatrixPtr o;    // [hidden_size, num_heads * head_dim or v_head_dim]
  compute::Tensor o_bias;  // [hidden_size] f32; optional
  // MLP
  compute::MatrixPtr gate;  // [num_experts, hidden_size], always f32: the choice of experts is worth the bytes
  compute::GateArgs gate_args;
  compute::MlpWeightsPtr shared;      // optional
  compute::MatrixPtr shared_gate;     // [1, hidden_size]; optional
  compute::MlpWeightsPtr dense;       // of a dense layer
};

// What of a model one router process computes, experts apart: all of it, or with pipeline stages a part.
struct ModelShare {
  // Disjoint. A KV block is used in one of the ranges only, so their layers share its memory: the first ones of all
  // ranges, then the second ones, and so on.
  std::vector<LayerRange> ranges;
  bool embedding = true;
  bool lm_head = true;  // and the norm before it

  int num_layers() const;
  // Layers' worth of memory that a KV block takes: those of the longest range.
  int num_kv_layers() const;
};

ModelShare WholeModel(const ModelSpec& spec);

struct RouterWeights {
  ModelShare share;
  compute::Tensor embedding;         // [vocab_size, hidden_size]
  std::vector<LayerWeights> layers;  // of the whole model; those that are not held are empty
  compute::Tensor norm;        // [hidden_size] f32
  compute::MatrixPtr lm_head;  // [vocab_size, hidden_size]
};

// Called after each layer with the share of work done, 0 … 1; from the loading thread.
using ProgressCallback = std::function<void(double done)>;

// Refuses a checkpoint with tensors that the spec does not explain, naming one; MTP layers are left alone.
// Errors: UNIMPLEMENTED (tensors left over).
absl::Status CheckNoUnknownTensors(const ModelSpec& spec, const Checkpoint& checkpoint);

// Loads a share of everything but routed experts. max_position bounds the rope table.
// Errors: NOT_FOUND, INVALID_ARGUMENT, DATA_LOSS, RESOURCE_EXHAUSTED, each naming the tensor.
absl::StatusOr<RouterWeights> LoadRouterWeights(const ModelSpec& spec, const Checkpoint& checkpoint,
                                                const ModelDTypes& dtypes, int64_t max_position,
                                                compute::Backend& backend, const ProgressCallback& progress,
                                                const ModelShare& share);
inline absl::StatusOr<RouterWeights> LoadRouterWeights(const ModelSpec& spec, const Checkpoint& checkpoint,
                                                       const ModelDTypes& dtypes, int64_t max_position,
                                                       compute::Backend& backend, const ProgressCallback& progress) {
  return LoadRouterWeights(spec, checkpoint, dtypes, max_position, backend, progress, WholeModel(spec));
}

// Loads one routed expert. Thread-safe as far as backend.PackMlp is.
absl::StatusOr<compute::MlpWeightsPtr> LoadExpert(const ModelSpec& spec, const Checkpoint& checkpoint,
                                                  compute::DType dtype, int layer, int expert,
                                                  compute::Backend& backend);

}  // namespace tandem::model

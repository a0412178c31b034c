// The forward pass of every family, written once against compute::Backend.
//
// A layer is two halves with the experts between them:
//
//   Attend   h += attention(norm(h));  x = norm(h)      ┐ router
//   Route    topk_ids, topk_weights = gate(x)           ┘
//            expert_out[row * top_k + j] = E[layer, topk_ids[row, j]](x[row])     wherever the expert lives
//   Combine  h += Σ_j topk_weights · expert_out + shared(x)
//
// so that a caller may keep several micro-batches in flight, each with its own Activations.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "compute/backend.h"
#include "model/model_spec.h"
#include "model/weights.h"

namespace tandem::model {

// One micro-batch's working memory, allocated once for `max_tokens` rows. All f32 but expert_out.
struct Activations {
  int64_t max_tokens = 0;
  int64_t num_tokens = 0;       // rows in use, set by Decoder::Embed
  compute::Tensor h;            // [max_tokens, hidden_size] residual stream
  compute::Tensor x;            // [max_tokens, hidden_size] normed input of attention or MLP
  compute::Tensor q_lora;       // [max_tokens, q_lora_rank]
  compute::Tensor qkv;          // [max_tokens, widest of the query and fused projections]
  compute::Tensor kv_a;         // [max_tokens, kv_lora_rank + rope]
  compute::Tensor q;            // [max_tokens, num_heads, key_dim]
  compute::Tensor attention;    // [max_tokens, num_heads, value_dim]
  compute::Tensor values;       // [max_tokens, num_heads * v_head_dim], MLA only
  compute::Tensor topk_ids;     // [max_tokens, top_k] i32
  compute::Tensor topk_weights; // [max_tokens, top_k]
  compute::Tensor shared;       // [max_tokens, hidden_size]
  compute::Tensor expert_out;   // [max_tokens * top_k, hidden_size] CombineDType of the wire
};

struct KvCache {
  int64_t num_blocks = 0;
  int block_size = 0;
  std::vector<compute::KvCacheLayer> layers;  // of the whole model; those that are not held are empty
};

// Immutable after Load; the Backend's rule of one issuing thread applies.
class Decoder {
 public:
  Decoder(ModelSpec spec, ModelDTypes dtypes, RouterWeights weights, compute::Backend& backend)
      : spec_(std::move(spec)), dtypes_(dtypes), weights_(std::move(weights)), backend_(backend) {}

  // Errors: RESOURCE_EXHAUSTED.
  absl::StatusOr<Activations> AllocateActivations(int64_t max_tokens) const;
  absl::StatusOr<KvCache> AllocateKvCache(int64_t num_blocks, int block_size) const;
  // Of `layers` layers.
  static int64_t KvBytesPerToken(const ModelSpec& spec, compute::DType dtype, int layers);
  static int64_t KvBytesPerToken(const ModelSpec& spec, compute::DType dtype) {
    return KvBytesPerToken(spec, dtype, spec.num_layers());
  }
  // Backend::CopyBlocks in every layer.
  void CopyBlocks(const KvCache& cache, absl::Span<const compute::BlockCopy> copies) const;

  // h = embedding[ids]; sets a.num_tokens. ids are within the vocabulary.
  void Embed(absl::Span<const int32_t> ids, Activations& a) const;

  // With pipeline stages, instead: rows that come from the stage before. h = rows; sets a.num_tokens.
  // rows: [num_tokens, hidden_size] f32, to stay alive until an Event recorded afterwards has passed.
  void Enter(absl::Span<const std::byte> rows, Activations& a) const;

  // Results of the stages behind: h[rows[i], :] = results[i, :], for Hidden. As Enter.
  void SetRows(absl::Span<const int32_t> rows, absl::Span<const std::byte> results, Activations& a) const;

  void Attend(int layer, const compute::BatchLayout& batch, const KvCache& cache, Activations& a) const;

  // Layers without experts: h += mlp(x).
  void DenseMlp(int layer, Activations& a) const;

  // Layers with experts, in this order; SharedExpert may run while the routed experts are under way.
  void Route(int layer, Activations& a) const;
  void SharedExpert(int layer, Activations& a) const;
  void Combine(int layer, Activations& a) const;

  // out[i, :] = norm(h[rows[i], :]), the final hidden states that lm_head sees.  out [rows.size(), hidden_size] f32,
  // rows.size() ≤ a.max_tokens. Overwrites a.x.
  void Hidden(absl::Span<const int32_t> rows, Activations& a, const compute::Tensor& out) const;

  // logits = lm_head(hidden).  hidden [n, hidden_size] f32, final and normed; logits [n, vocab_size] f32.
  void LmHead(const compute::Tensor& hidden, const compute::Tensor& logits) const;

  // logits[i, :] = lm_head(Hidden(rows)[i, :]).  logits [rows.size(), vocab_size] f32. Overwrites a.x and a.shared.
  void Logits(absl::Span<const int32_t> rows, Activations& a, const compute::Tensor& logits) const;

  const ModelSpec& spec() const { return spec_; }
  const ModelDTypes& dtypes() const { return dtypes_; }
  const ModelShare& share() const { return weights_.share; }
  compute::Backend& backend() const { return backend_; }

 private:
  void AttendGqa(const LayerWeights& w, const compute::BatchLayout& batch, const compute::KvCacheLayer& cache,
                 Activations& a) const;
  void AttendMla(const LayerWeights& w, const compute::BatchLayout& batch, const compute::KvCacheLayer& cache,
                 Activations& a) const;

  const ModelSpec spec_;
  const ModelDTypes dtypes_;
  const RouterWeights weights_;
  compute::Backend& backend_;
};

}  // namespace tandem::model

#include "model/decoder.h"

#include <algorithm>

#include "base/status.h"
#include "compute/wire_rows.h"

namespace tandem::model {
namespace {

using compute::DType;
using compute::Shape;
using compute::Tensor;

compute::KvRow CacheRow(const AttentionSpec& attention) {
  return {.num_kv_heads = attention.cache_heads(),
          .key_dim = attention.key_dim(),
          .value_dim = attention.value_dim(),
          .latent = attention.kind == AttentionKind::kMla};
}

}  // namespace

absl::StatusOr<Activations> Decoder::AllocateActivations(int64_t max_tokens) const {
  const AttentionSpec& attention = spec_.attention;
  const bool mla = attention.kind == AttentionKind::kMla;
  const int64_t heads = attention.num_attention_heads;
  const int64_t projected = mla ? heads * (attention.qk_nope_head_dim + attention.qk_rope_head_dim)
                                : (heads + 2 * attention.num_key_value_heads) * attention.head_dim;
  Activations a;
  a.max_tokens = max_tokens;
  const auto allocate = [&](Tensor& tensor, DType dtype, Shape shape) -> absl::Status {
    ASSIGN_OR_RETURN(tensor, backend_.Allocate(dtype, shape));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(allocate(a.h, DType::kF32, {max_tokens, spec_.hidden_size}));
  RETURN_IF_ERROR(allocate(a.x, DType::kF32, {max_tokens, spec_.hidden_size}));
  RETURN_IF_ERROR(allocate(a.shared, DType::kF32, {max_tokens, spec_.hidden_size}));
  RETURN_IF_ERROR(allocate(a.qkv, DType::kF32, {max_tokens, projected}));
  RETURN_IF_ERROR(allocate(a.q, DType::kF32, {max_tokens, heads, attention.key_dim()}));
  RETURN_IF_ERROR(allocate(a.attention, DType::kF32, {max_tokens, heads, attention.value_dim()}));
  if (mla) {
    RETURN_IF_ERROR(allocate(a.q_lora, DType::kF32, {max_tokens, std::max(1, attention.q_lora_rank)}));
    RETURN_IF_ERROR(allocate(a.kv_a, DType::kF32, {max_tokens, attention.key_dim()}));
    RETURN_IF_ERROR(allocate(a.values, DType::kF32, {max_tokens, heads * attention.v_head_dim}));
  }
  const int64_t top_k = spec_.gate.num_experts_per_tok;
  RETURN_IF_ERROR(allocate(a.topk_ids, DType::kI32, {max_tokens, top_k}));
  RETURN_IF_ERROR(allocate(a.topk_weights, DType::kF32, {max_tokens, top_k}));
  RETURN_IF_ERROR(allocate(a.expert_out, compute::CombineDType(dtypes_.wire), {max_tokens * top_k, spec_.hidden_size}));
  return a;
}

int64_t Decoder::KvBytesPerToken(const ModelSpec& spec, DType dtype, int layers) {
  return layers * compute::KvRowBytes(CacheRow(spec.attention), dtype);
}

absl::StatusOr<KvCache> Decoder::AllocateKvCache(int64_t num_blocks, int block_size) const {
  KvCache cache{num_blocks, block_size, {}};
  cache.layers.resize(spec_.num_layers());
  for (int i = 0; i < share().num_kv_layers(); ++i) {
    ASSIGN_OR_RETURN(const compute::KvCacheLayer entry,
                     compute::AllocateKvCacheLayer(backend_, CacheRow(spec_.attention), dtypes_.kv_cache, num_blocks,
                                                   block_size));
    for (const LayerRange& range : share().ranges) {
      if (i < range.size()) {
        cache.layers[range.begin + i] = entry;
      }
    }
  }
  return cache;
}

void Decoder::CopyBlocks(const KvCache& cache, absl::Span<const compute::BlockCopy> copies) const {
  // The layers of the longest range are all the memory there is.
  const std::vector<LayerRange>& ranges = share().ranges;
  const LayerRange longest = *std::max_element(
      ranges.begin(), ranges.end(), [](const LayerRange& a, const LayerRange& b) { return a.size() < b.size(); });
  for (int layer = longest.begin; layer < longest.end; ++layer) {
    backend_.CopyBlocks(cache.layers[layer], copies);
  }
}

void Decoder::Embed(absl::Span<const int32_t> ids, Activations& a) const {
  a.num_tokens = static_cast<int64_t>(ids.size());
  TANDEM_CHECK(a.num_tokens <= a.max_tokens);
  backend_.Embed(weights_.embedding, ids, a.h.Rows(0, a.num_tokens));
}

void Decoder::Enter(absl::Span<const std::byte> rows, Activations& a) const {
  a.num_tokens = static_cast<int64_t>(rows.size()) / a.h.Rows(0, 1).size_bytes();
  TANDEM_CHECK(a.num_tokens <= a.max_tokens);
  backend_.Upload(rows, a.h.Rows(0, a.num_tokens));
}

void Decoder::SetRows(absl::Span<const int32_t> rows, absl::Span<const std::byte> results, Activations& a) const {
  const size_t row_bytes = a.h.Rows(0, 1).size_bytes();
  TANDEM_CHECK(results.size() == rows.size() * row_bytes);
  for (size_t i = 0; i < rows.size(); ++i) {
    backend_.Upload(results.subspan(i * row_bytes, row_bytes), a.h.Rows(rows[i], 1));
  }
}

void Decoder::Attend(int layer, const compute::BatchLayout& batch, const KvCache& cache, Activations& a) const {
  const LayerWeights& w = weights_.layers[layer];
  const Tensor h = a.h.Rows(0, a.num_tokens);
  const Tensor x = a.x.Rows(0, a.num_tokens);
  backend_.RmsNorm(h, w.input_norm, spec_.rms_norm_eps, x);
  if (spec_.attention.kind == AttentionKind::kMla) {
    AttendMla(w, batch, cache.layers[layer], a);
  } else {
    AttendGqa(w, batch, cache.layers[layer], a);
  }
  backend_.RmsNorm(h, w.post_attention_norm, spec_.rms_norm_eps, x);
}

void Decoder::AttendGqa(const LayerWeights& w, const compute::BatchLayout& batch, const compute::KvCacheLayer& cache,
                        Activations& a) const {
  const int64_t n = a.num_tokens;
  const Tensor qkv = a.qkv.Rows(0, n);
  const Tensor q = a.q.Rows(0, n);
  const Tensor attended = a.attention.Rows(0, n);
  backend_.Linear(a.x.Rows(0, n), *w.qkv, w.qkv_bias, qkv);
  backend_.PrepareGqa(w.gqa, qkv, batch, cache, q);
  backend_.PagedAttention(w.attention, q, batch, cache, attended);
  backend_.Linear(attended.Reshape({n, attended.dim(1) * attended.dim(2)}), *w.o, w.o_bias, a.h.Rows(0, n),
                  /*accumulate=*/true);
}

void Decoder::AttendMla(const LayerWeights& w, const compute::BatchLayout& batch, const compute::KvCacheLayer& cache,
                        Activations& a) const {
  const int64_t n = a.num_tokens;
  const Tensor x = a.x.Rows(0, n);
  Tensor q_in = x;
  if (w.q_a != nullptr) {
    q_in = a.q_lora.Rows(0, n);
    backend_.Linear(x, *w.q_a, {}, q_in);
    backend_.RmsNorm(q_in, w.q_a_norm, w.mla.norm_eps, q_in);
  }
  const Tensor projected = a.qkv.Rows(0, n);
  const Tensor kv_a = a.kv_a.Rows(0, n);
  const Tensor q = a.q.Rows(0, n);
  const Tensor attended = a.attention.Rows(0, n);
  const Tensor values = a.values.Rows(0, n);
  backend_.Linear(q_in, *w.q_b, {}, projected);
  backend_.Linear(x, *w.kv_a, {}, kv_a);
  backend_.PrepareMla(w.mla, projected, kv_a, batch, cache, q);
  backend_.PagedAttention(w.attention, q, batch, cache, attended);
  backend_.Linear(attended.Reshape({n, attended.dim(1) * attended.dim(2)}), *w.w_uv, {}, values);
  backend_.Linear(values, *w.o, w.o_bias, a.h.Rows(0, n), /*accumulate=*/true);
}

void Decoder::DenseMlp(int layer, Activations& a) const {
  const Tensor out = a.shared.Rows(0, a.num_tokens);
  backend_.Mlp(a.x.Rows(0, a.num_tokens), *weights_.layers[layer].dense, nullptr, out);
  backend_.Add(out, a.h.Rows(0, a.num_tokens));
}

void Decoder::Route(int layer, Activations& a) const {
  const LayerWeights& w = weights_.layers[layer];
  backend_.Gate(w.gate_args, a.x.Rows(0, a.num_tokens), w.gate.get(), a.topk_ids.Rows(0, a.num_tokens),
                a.topk_weights.Rows(0, a.num_tokens));
}

void Decoder::SharedExpert(int layer, Activations& a) const {
  const LayerWeights& w = weights_.layers[layer];
  if (w.shared != nullptr) {
    backend_.Mlp(a.x.Rows(0, a.num_tokens), *w.shared, w.shared_gate.get(), a.shared.Rows(0, a.num_tokens));
  }
}

void Decoder::Combine(int layer, Activations& a) const {
  const int64_t n = a.num_tokens;
  const bool shared = weights_.layers[layer].shared != nullptr;
  backend_.Combine(a.topk_weights.Rows(0, n), a.expert_out.Rows(0, n * spec_.gate.num_experts_per_tok),
                   shared ? a.shared.Rows(0, n) : Tensor(), a.h.Rows(0, n));
}

void Decoder::Hidden(absl::Span<const int32_t> rows, Activations& a, const Tensor& out) const {
  const Tensor chosen = a.x.Rows(0, static_cast<int64_t>(rows.size()));
  backend_.GatherRows(a.h.Rows(0, a.num_tokens), rows, chosen);
  backend_.RmsNorm(chosen, weights_.norm, spec_.rms_norm_eps, out);
}

void Decoder::Logits(absl::Span<const int32_t> rows, Activations& a, const Tensor& logits) const {
  const Tensor hidden = a.shared.Rows(0, static_cast<int64_t>(rows.size()));
  Hidden(rows, a, hidden);
  LmHead(hidden, logits);
}

void Decoder::LmHead(const Tensor& hidden, const Tensor& logits) const {
  backend_.Linear(hidden, *weights_.lm_head, {}, logits);
}

}  // namespace tandem::model

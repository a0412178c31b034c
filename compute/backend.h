// The one border between the model and a device.
//
// Memory: a Backend owns all device memory. Tensors and matrices are handles; nothing above compute/ dereferences them.
// Order: calls are enqueued and executed in the order in which they are issued, as on one CUDA stream. A call may return
// before its work is done; host memory handed to it must stay alive until an Event recorded afterwards has passed.
// Thread-safety: calls that enqueue work come from one thread at a time; Allocate, Pack* and const accessors may be
// called from any thread.
// Errors: shape mismatches are bugs of the caller (CHECK). Device errors surface in Event::Wait.
//
// Arithmetic (DESIGN.md section 3, the invariance contract): every output row depends on its own input row alone, and
// every output element is reduced in one fixed order whatever the number of rows, threads, or the vector width:
//   Linear, Mlp     one fused multiply-add chain over the input features in ascending order; the bias is added last
//   RmsNorm         16 interleaved partial sums, then a fixed tree
//   PagedAttention  dot products as in RmsNorm; the KV positions in ascending tiles of kAttentionTile, aligned to
//                   position 0, online softmax between tiles; a quantized cache's scales multiply the finished
//                   dot products and the probabilities
//   Combine         experts in gate order, then the shared expert, then the residual
// Activations are f32. What crosses to expert workers and back has the model's wire dtype (compute/wire_rows.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "compute/dtype.h"
#include "compute/kv_cache.h"
#include "compute/tensor.h"

namespace tandem::compute {

inline constexpr int kAttentionTile = 32;

// A point in the backend's order of work.
class Event {
 public:
  virtual ~Event() = default;
  virtual bool Done() const = 0;
  // Blocks until all work issued before the event is done. Returns the first device error since the last Wait.
  virtual absl::Status Wait() = 0;
};

// A weight matrix in the backend's own layout. `groups` matrices of [rows, cols]; ordinary linear layers have one group.
// Immutable.
class Matrix {
 public:
  virtual ~Matrix() = default;
  virtual int64_t groups() const = 0;
  virtual int64_t rows() const = 0;  // output features of one group
  virtual int64_t cols() const = 0;  // input features of one group
  virtual DType dtype() const = 0;
  virtual int64_t size_bytes() const = 0;
};
using MatrixPtr = std::shared_ptr<const Matrix>;

// A gated MLP, down(silu(gate(x)) * up(x)): one expert, a shared expert, or a dense layer. Immutable.
class MlpWeights {
 public:
  virtual ~MlpWeights() = default;
  virtual int64_t hidden_size() const = 0;
  virtual int64_t intermediate_size() const = 0;
  virtual int64_t size_bytes() const = 0;
};
using MlpWeightsPtr = std::shared_ptr<const MlpWeights>;

// Supplies one row of a weight matrix as f32: out has `cols` elements. Called from several threads at once, each row
// at least once; this is where checkpoint dtypes are widened and FP8 blocks are scaled.
using RowReader = std::function<void(int64_t row, absl::Span<float> out)>;

// The rows of one sequence in a batch: `num_rows` consecutive tokens beginning at `position`.
struct SequenceRows {
  int32_t first_row = 0;
  int32_t num_rows = 0;
  int32_t position = 0;
  // KV blocks of the sequence in order; covers positions [0, position + num_rows).
  std::vector<int32_t> block_table;
};

// Device-side form of a batch's row layout, made once per step and used in every layer.
class BatchLayout {
 public:
  virtual ~BatchLayout() = default;
};

// One block of a KV cache to be copied over another.
struct BlockCopy {
  int32_t from = 0;
  int32_t to = 0;
};

// Rotary embedding over the first or last `rotary_dim` elements of a head.
struct RopeArgs {
  Tensor cos_sin;            // [max_position, rotary_dim] f32: rotary_dim / 2 cosines, then as many sines
  int rotary_dim = 0;
  bool interleaved = false;  // pairs (2i, 2i+1), as DeepSeek; otherwise (i, i + rotary_dim / 2)
};

enum class QkNorm : uint8_t { kNone, kPerHead, kFullWidth };

struct GqaArgs {
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  QkNorm qk_norm = QkNorm::kNone;
  Tensor q_norm;  // [head_dim] or [num_heads * head_dim] f32; absent without qk_norm
  Tensor k_norm;  // [head_dim] or [num_kv_heads * head_dim] f32
  float norm_eps = 0;
  float clip_qkv = 0;  // clamps q, k (after their norm, before rope) and v to ±clip_qkv; 0: off
  RopeArgs rope;  // rotates the first rotary_dim elements of every head
};

struct MlaArgs {
  int num_heads = 0;
  int kv_lora_rank = 0;
  int qk_nope_head_dim = 0;
  int qk_rope_head_dim = 0;
  Tensor kv_norm;  // [kv_lora_rank] f32
  float norm_eps = 0;
  MatrixPtr w_uk;  // groups = num_heads, [kv_lora_rank, qk_nope_head_dim]: absorbs the key up-projection into q
  RopeArgs rope;
};

struct AttentionArgs {
  float scale = 1.0f;
  int value_dim = 0;
  int sliding_window = 0;  // attend to the last `sliding_window` positions only; 0: all
};

enum class GateScoring : uint8_t { kSoftmax, kSigmoid, kAlways };
enum class GroupScore : uint8_t { kMax, kTop2Sum };

// Top-k gating. Scores are f32; ties go to the lower expert index. The correction bias takes part in the selection only.
// Selected experts are listed by descending selection score.
struct GateArgs {
  GateScoring scoring = GateScoring::kSoftmax;
  int num_experts = 0;
  int top_k = 0;
  int num_groups = 1;  // group-limited selection when topk_groups < num_groups
  int topk_groups = 1;
  GroupScore group_score = GroupScore::kMax;
  bool normalize = false;  // divide the chosen weights by their sum (plus 1e-20)
  float scale = 1.0f;      // multiplies the weights last (routed_scaling_factor)
  Tensor correction_bias;  // [num_experts] f32, optional
};

// The rows of one expert in a GroupedMlp call: pairs [begin, end).
struct ExpertSegment {
  const MlpWeights* weights = nullptr;
  int32_t begin = 0;
  int32_t end = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // --- memory -------------------------------------------------------------------------------------------------------
  virtual absl::StatusOr<Tensor> Allocate(DType dtype, Shape shape) = 0;
  // host bytes = tensor.size_bytes().
  virtual void Upload(absl::Span<const std::byte> host, const Tensor& to) = 0;
  virtual void Download(const Tensor& from, absl::Span<std::byte> host) = 0;
  virtual std::unique_ptr<Event> Record() = 0;
  virtual int64_t allocated_bytes() const = 0;

  // --- weights ------------------------------------------------------------------------------------------------------
  // `dtype` (kF32 or kBF16) is what the device keeps. Row index = group * rows + row.
  virtual absl::StatusOr<MatrixPtr> PackMatrix(DType dtype, int64_t groups, int64_t rows, int64_t cols,
                                               const RowReader& reader) = 0;
  // gate, up: [intermediate_size, hidden_size]; down: [hidden_size, intermediate_size].
  virtual absl::StatusOr<MlpWeightsPtr> PackMlp(DType dtype, int64_t hidden_size, int64_t intermediate_size,
                                                const RowReader& gate, const RowReader& up, const RowReader& down) = 0;

  // --- layers -------------------------------------------------------------------------------------------------------
  // sequences cover rows 0 … n-1 without gaps.
  virtual std::unique_ptr<BatchLayout> PrepareBatch(absl::Span<const SequenceRows> sequences, int block_size) = 0;

  // out[i, :] = table[ids[i], :].  table [vocab_size, hidden_size] f32|bf16, out [n, hidden_size] f32.
  virtual void Embed(const Tensor& table, absl::Span<const int32_t> ids, const Tensor& out) = 0;

  // out = x / sqrt(mean(x²) + eps) * weight.  x, out [n, width] f32 (may be the same), weight [width] f32.
  virtual void RmsNorm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) = 0;

  // out[i, g, :] = w[g] · x[i, g, :] (+ bias), or out += the same with `accumulate`.
  // x [n, groups * cols] f32, out [n, groups * rows] f32, bias [groups * rows] f32, optional.
  virtual void Linear(const Tensor& x, const Matrix& w, const Tensor& bias, const Tensor& out,
                      bool accumulate = false) = 0;

  // y += x, element by element.  Both f32 of the same shape.
  virtual void Add(const Tensor& x, const Tensor& y) = 0;

  // Norms and rotates q and k, and appends k and v to the cache.
  // qkv [n, (num_heads + 2 num_kv_heads) * head_dim] f32, q_out [n, num_heads, head_dim] f32.
  virtual void PrepareGqa(const GqaArgs& args, const Tensor& qkv, const BatchLayout& batch, const KvCacheLayer& cache,
                          const Tensor& q_out) = 0;

  // Multi-head latent attention, absorbed form (DeepSeek-V2, arXiv:2405.04434, section 2.1): norms the latent, rotates the shared
  // key, appends [latent, rotated key] to the cache and maps each query head into the latent space.
  // q [n, num_heads * (nope + rope)] f32, kv_a [n, kv_lora_rank + rope] f32,
  // q_out [n, num_heads, kv_lora_rank + rope] f32.
  virtual void PrepareMla(const MlaArgs& args, const Tensor& q, const Tensor& kv_a, const BatchLayout& batch,
                          const KvCacheLayer& cache, const Tensor& q_out) = 0;

  // Causal attention of each row over its sequence's cached positions 0 … its own.
  // q [n, num_heads, key_dim] f32, out [n, num_heads, value_dim] f32. Query head h reads KV head h / (num_heads / num_kv_heads).
  virtual void PagedAttention(const AttentionArgs& args, const Tensor& q, const BatchLayout& batch,
                              const KvCacheLayer& cache, const Tensor& out) = 0;

  // Copies whole blocks with their scales inside one layer's cache (copy-on-write). Blocks are within the cache; no
  // target is named twice or is also a source.
  virtual void CopyBlocks(const KvCacheLayer& cache, absl::Span<const BlockCopy> copies) = 0;

  // x [n, hidden_size] f32, w [num_experts, hidden_size]; topk_ids [n, top_k] i32, topk_weights [n, top_k] f32.
  // kAlways: every row goes to experts 0 … top_k-1 with weight 1 (dense models); w is not read and may be null.
  virtual void Gate(const GateArgs& args, const Tensor& x, const Matrix* w, const Tensor& topk_ids,
                    const Tensor& topk_weights) = 0;

  // out = mlp(x), times sigmoid(sigmoid_gate · x) where given.  x, out [n, hidden_size] f32; sigmoid_gate [1, hidden_size].
  virtual void Mlp(const Tensor& x, const MlpWeights& weights, const Matrix* sigmoid_gate, const Tensor& out) = 0;

  // --- experts ------------------------------------------------------------------------------------------------------
  // out[i, :] = x[rows[i], :], rounded to the wire dtype.  x [n, hidden_size] f32,
  // out [rows.size(), DispatchRowElements] wire.
  virtual void GatherRows(const Tensor& x, absl::Span<const int32_t> rows, const Tensor& out) = 0;

  // out[slots[i], :] = in[i, :].  in [slots.size(), hidden_size], out [m, hidden_size], both CombineDType.
  virtual void ScatterRows(const Tensor& in, absl::Span<const int32_t> slots, const Tensor& out) = 0;

  // out[i, :] = expert(x[pair_rows[i], :]) for each pair i, rounded to out's dtype. Segments are disjoint and cover
  // all pairs. Each weight is read once however many rows its expert has.
  // x [rows, DispatchRowElements] wire, out [pairs, hidden_size] CombineDType.
  virtual void GroupedMlp(const Tensor& x, absl::Span<const int32_t> pair_rows,
                          absl::Span<const ExpertSegment> segments, const Tensor& out) = 0;

  // h[i, :] += (Σ_j topk_weights[i, j] · expert_out[i * top_k + j, :]) + shared[i, :], j ascending.
  // h [n, hidden_size] f32, expert_out [n * top_k, hidden_size] CombineDType, shared [n, hidden_size] f32, optional.
  virtual void Combine(const Tensor& topk_weights, const Tensor& expert_out, const Tensor& shared, const Tensor& h) = 0;
};

}  // namespace tandem::compute

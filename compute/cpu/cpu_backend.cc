#include "compute/cpu/cpu_backend.h"

#include <atomic>
#include <cstring>

#include "compute/cpu/attention.h"
#include "compute/cpu/batch_layout.h"
#include "compute/cpu/gate.h"
#include "compute/cpu/gemm.h"
#include "compute/cpu/kv_blocks.h"
#include "compute/cpu/memory.h"
#include "compute/cpu/mlp.h"
#include "compute/cpu/packed_matrix.h"
#include "compute/cpu/quantize.h"
#include "compute/cpu/row_kernels.h"
#include "compute/cpu/thread_pool.h"
#include "compute/wire_rows.h"

namespace tandem::compute::cpu {
namespace {

class DoneEvent final : public Event {
 public:
  bool Done() const override { return true; }
  absl::Status Wait() override { return absl::OkStatus(); }
};

bool IsFloat(const Tensor& tensor) { return tensor.dtype() == DType::kF32 || tensor.dtype() == DType::kBF16; }

const PackedMatrix& Packed(const Matrix& matrix) {
  const auto* packed = dynamic_cast<const PackedMatrix*>(&matrix);
  TANDEM_CHECK(packed != nullptr, "matrix does not belong to a CPU backend");
  return *packed;
}

const PackedMlp& Packed(const MlpWeights& weights) {
  const auto* packed = dynamic_cast<const PackedMlp*>(&weights);
  TANDEM_CHECK(packed != nullptr, "MLP does not belong to a CPU backend");
  return *packed;
}

void CheckMatrix(const char* what, const Tensor& tensor, int64_t rows, int64_t cols) {
  TANDEM_CHECK(tensor.shape() == Shape({rows, cols}), what, " has shape [", tensor.dim(0), ", ", tensor.dim(1),
               "] and rank ", tensor.shape().rank(), ", expected [", rows, ", ", cols, "]");
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const CpuOptions& options)
      : pool_({options.num_threads, options.cpu_affinity, options.spin_microseconds}),
        allocated_bytes_(std::make_shared<std::atomic<int64_t>>(0)) {}

  absl::StatusOr<Tensor> Allocate(DType dtype, Shape shape) override;
  void Upload(absl::Span<const std::byte> host, const Tensor& to) override;
  void Download(const Tensor& from, absl::Span<std::byte> host) override;
  std::unique_ptr<Event> Record() override { return std::make_unique<DoneEvent>(); }
  int64_t allocated_bytes() const override { return allocated_bytes_->load(std::memory_order_relaxed); }

  absl::StatusOr<MatrixPtr> PackMatrix(DType dtype, int64_t groups, int64_t rows, int64_t cols,
                                       const RowReader& reader) override;
  absl::StatusOr<MlpWeightsPtr> PackMlp(DType dtype, int64_t hidden_size, int64_t intermediate_size,
                                        const RowReader& gate, const RowReader& up, const RowReader& down) override;

  std::unique_ptr<BatchLayout> PrepareBatch(absl::Span<const SequenceRows> sequences, int block_size) override {
    return std::make_unique<CpuBatchLayout>(sequences, block_size);
  }
  void Embed(const Tensor& table, absl::Span<const int32_t> ids, const Tensor& out) override {
    CopyRows(table, ids, nullptr, out);
  }
  void RmsNorm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void Linear(const Tensor& x, const Matrix& w, const Tensor& bias, const Tensor& out, bool accumulate) override;
  void Add(const Tensor& x, const Tensor& y) override;
  void PrepareGqa(const GqaArgs& args, const Tensor& qkv, const BatchLayout& batch, const KvCacheLayer& cache,
                  const Tensor& q_out) override {
    cpu::PrepareGqa(pool_, args, qkv, CpuBatchLayout::From(batch), cache, q_out);
  }
  void PrepareMla(const MlaArgs& args, const Tensor& q, const Tensor& kv_a, const BatchLayout& batch,
                  const KvCacheLayer& cache, const Tensor& q_out) override {
    cpu::PrepareMla(pool_, packed_rows_, args, q, kv_a, CpuBatchLayout::From(batch), cache, q_out);
  }
  void PagedAttention(const AttentionArgs& args, const Tensor& q, const BatchLayout& batch, const KvCacheLayer& cache,
                      const Tensor& out) override {
    attention_.Run(pool_, args, q, CpuBatchLayout::From(batch), cache, out);
  }
  void CopyBlocks(const KvCacheLayer& cache, absl::Span<const BlockCopy> copies) override {
    cpu::CopyBlocks(pool_, cache, copies);
  }
  void Gate(const GateArgs& args, const Tensor& x, const Matrix* w, const Tensor& topk_ids,
            const Tensor& topk_weights) override;
  void Mlp(const Tensor& x, const MlpWeights& weights, const Matrix* sigmoid_gate, const Tensor& out) override;

  void GatherRows(const Tensor& x, absl::Span<const int32_t> rows, const Tensor& out) override {
    if (out.dtype() == DType::kF8E4M3) {
      GatherF8Rows(x, rows, out);
    } else {
      CopyRows(x, rows, nullptr, out);
    }
  }
  void ScatterRows(const Tensor& in, absl::Span<const int32_t> slots, const Tensor& out) override {
    CopyRows(in, {}, &slots, out);
  }
  void GroupedMlp(const Tensor& x, absl::Span<const int32_t> pair_rows, absl::Span<const ExpertSegment> segments,
                  const Tensor& out) override;
  void Combine(const Tensor& topk_weights, const Tensor& expert_out, const Tensor& shared, const Tensor& h) override;

 private:
  // Row i of the result is row from_rows[i] of `from`, or goes to row (*to_rows)[i] of `to`.
  void CopyRows(const Tensor& from, absl::Span<const int32_t> from_rows, const absl::Span<const int32_t>* to_rows,
                const Tensor& to);
  void GatherF8Rows(const Tensor& x, absl::Span<const int32_t> rows, const Tensor& out);
  void Multiply(const float* x, int64_t num_rows, const PackedMatrix& w, const float* bias, bool accumulate,
                float* out);

  ThreadPool pool_;
  // Shared with the buffers, which may outlive the backend.
  std::shared_ptr<std::atomic<int64_t>> allocated_bytes_;
  Scratch packed_rows_;
  Scratch logits_;
  MlpRunner mlp_;
  std::vector<MlpSegment> segments_;
  AttentionRunner attention_;
};

absl::StatusOr<Tensor> CpuBackend::Allocate(DType dtype, Shape shape) {
  int64_t elements = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] < 0 || (shape[i] > 0 && elements > (int64_t{1} << 48) / shape[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot allocate a tensor with dimension ", shape[i], " on axis ", i));
    }
    elements *= shape[i];
  }
  const auto bytes = static_cast<size_t>(elements) * DTypeBytes(dtype);
  ASSIGN_OR_RETURN(AlignedBlock block, AlignedBlock::Create(bytes));
  return Tensor(std::make_shared<CpuBuffer>(std::move(block), allocated_bytes_), 0, dtype, shape);
}

void CpuBackend::Upload(absl::Span<const std::byte> host, const Tensor& to) {
  TANDEM_CHECK(static_cast<int64_t>(host.size()) == to.size_bytes(), host.size(), " bytes for a tensor of ",
               to.size_bytes());
  if (!host.empty()) {
    std::memcpy(RawData(to), host.data(), host.size());
  }
}

void CpuBackend::Download(const Tensor& from, absl::Span<std::byte> host) {
  TANDEM_CHECK(static_cast<int64_t>(host.size()) == from.size_bytes(), host.size(), " bytes for a tensor of ",
               from.size_bytes());
  if (!host.empty()) {
    std::memcpy(host.data(), RawData(from), host.size());
  }
}

absl::StatusOr<MatrixPtr> CpuBackend::PackMatrix(DType dtype, int64_t groups, int64_t rows, int64_t cols,
                                                 const RowReader& reader) {
  ASSIGN_OR_RETURN(MatrixPtr matrix, PackedMatrix::Pack(pool_, dtype, groups, rows, cols, reader));
  return matrix;
}

absl::StatusOr<MlpWeightsPtr> CpuBackend::PackMlp(DType dtype, int64_t hidden_size, int64_t intermediate_size,
                                                  const RowReader& gate, const RowReader& up, const RowReader& down) {
  ASSIGN_OR_RETURN(auto gate_up, PackedMatrix::PackGateUp(pool_, dtype, intermediate_size, hidden_size, gate, up));
  ASSIGN_OR_RETURN(auto packed_down, PackedMatrix::Pack(pool_, dtype, 1, hidden_size, intermediate_size, down));
  return std::make_shared<const PackedMlp>(std::move(gate_up), std::move(packed_down));
}

void CpuBackend::CopyRows(const Tensor& from, absl::Span<const int32_t> from_rows,
                          const absl::Span<const int32_t>* to_rows, const Tensor& to) {
  TANDEM_CHECK(IsFloat(from) && IsFloat(to), "rows of ", DTypeName(from.dtype()), " to ", DTypeName(to.dtype()));
  TANDEM_CHECK(from.shape().rank() == 2 && to.shape().rank() == 2 && from.dim(1) == to.dim(1), "rows of ", from.dim(1),
               " to rows of ", to.dim(1));
  const absl::Span<const int32_t> index = to_rows != nullptr ? *to_rows : from_rows;
  const int64_t n = static_cast<int64_t>(index.size());
  TANDEM_CHECK((to_rows != nullptr ? from : to).dim(0) == n, n, " row indices for ",
               (to_rows != nullptr ? from : to).dim(0), " rows");
  const int64_t limit = (to_rows != nullptr ? to : from).dim(0);
  for (const int32_t row : index) {
    TANDEM_CHECK(row >= 0 && row < limit, "row ", row, " of ", limit);
  }
  const int64_t width = from.dim(1);
  const int64_t from_bytes = width * static_cast<int64_t>(DTypeBytes(from.dtype()));
  const int64_t to_bytes = width * static_cast<int64_t>(DTypeBytes(to.dtype()));
  const std::byte* source = RawData(from);
  std::byte* target = RawData(to);
  ForEachRow(pool_, n, from_bytes + to_bytes, [&](int64_t i) {
    const int64_t row = index[static_cast<size_t>(i)];
    ConvertRow(source + (to_rows != nullptr ? i : row) * from_bytes, from.dtype(),
               target + (to_rows != nullptr ? row : i) * to_bytes, to.dtype(), width);
  });
}

void CpuBackend::GatherF8Rows(const Tensor& x, absl::Span<const int32_t> rows, const Tensor& out) {
  const int64_t width = x.dim(1);
  const int64_t row_bytes = DispatchRowBytes(DType::kF8E4M3, width);
  CheckMatrix("gathered", out, static_cast<int64_t>(rows.size()), row_bytes);
  for (const int32_t row : rows) {
    TANDEM_CHECK(row >= 0 && row < x.dim(0), "row ", row, " of ", x.dim(0));
  }
  const float* const source = Data<float>(x);
  std::byte* const target = RawData(out);
  ForEachRow(pool_, static_cast<int64_t>(rows.size()), width * 4 + row_bytes, [&](int64_t i) {
    EncodeF8WireRow(source + rows[static_cast<size_t>(i)] * width, target + i * row_bytes, width);
  });
}

void CpuBackend::RmsNorm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
  const int64_t rows = x.dim(0);
  const int64_t width = x.dim(1);
  CheckMatrix("RmsNorm out", out, rows, width);
  TANDEM_CHECK(weight.num_elements() == width, "weight of ", weight.num_elements(), " for width ", width);
  const float* from = Data<float>(x);
  const float* scale = Data<float>(weight);
  float* to = Data<float>(out);
  ForEachRow(pool_, rows, 2 * width * 4,
             [&](int64_t i) { RmsNormRow(from + i * width, scale, eps, to + i * width, width); });
}

void CpuBackend::Multiply(const float* x, int64_t num_rows, const PackedMatrix& w, const float* bias, bool accumulate,
                          float* out) {
  GemmCall call;
  call.w = &w;
  call.num_rows = num_rows;
  call.x = x;
  call.x_row_stride = w.groups() * w.cols();
  call.x_group_stride = w.cols();
  call.bias = bias;
  call.out = out;
  call.out_row_stride = w.groups() * w.rows();
  call.out_group_stride = w.rows();
  call.accumulate = accumulate;
  Gemm(pool_, packed_rows_, call);
}

void CpuBackend::Linear(const Tensor& x, const Matrix& w, const Tensor& bias, const Tensor& out, bool accumulate) {
  const PackedMatrix& packed = Packed(w);
  const int64_t n = x.dim(0);
  CheckMatrix("Linear x", x, n, w.groups() * w.cols());
  CheckMatrix("Linear out", out, n, w.groups() * w.rows());
  TANDEM_CHECK(!bias.defined() || bias.num_elements() == w.groups() * w.rows(), "bias of ", bias.num_elements());
  Multiply(Data<float>(x), n, packed, bias.defined() ? Data<float>(bias) : nullptr, accumulate, Data<float>(out));
}

void CpuBackend::Add(const Tensor& x, const Tensor& y) {
  TANDEM_CHECK(x.shape() == y.shape(), "Add of ", x.num_elements(), " to ", y.num_elements(), " elements");
  const float* from = Data<float>(x);
  float* to = Data<float>(y);
  constexpr int64_t kStep = 1024;
  const int64_t n = x.num_elements();
  ForEachRow(pool_, (n + kStep - 1) / kStep, kStep * 12, [&](int64_t i) {
    const int64_t end = std::min(n, (i + 1) * kStep);
    for (int64_t k = i * kStep; k < end; ++k) {
      to[k] += from[k];
    }
  });
}

void CpuBackend::Gate(const GateArgs& args, const Tensor& x, const Matrix* w, const Tensor& topk_ids,
                      const Tensor& topk_weights) {
  const int64_t n = x.dim(0);
  CheckMatrix("topk_ids", topk_ids, n, args.top_k);
  CheckMatrix("topk_weights", topk_weights, n, args.top_k);
  int32_t* const ids = Data<int32_t>(topk_ids);
  float* const weights = Data<float>(topk_weights);
  if (args.scoring == GateScoring::kAlways) {
    for (int64_t i = 0; i < n * args.top_k; ++i) {
      ids[i] = static_cast<int32_t>(i % args.top_k);
      weights[i] = 1.0f;
    }
    return;
  }
  ValidateGate(args);
  TANDEM_CHECK(w != nullptr && w->groups() == 1 && w->rows() == args.num_experts, "gate weights do not match");
  CheckMatrix("Gate x", x, n, w->cols());
  TANDEM_CHECK(!args.correction_bias.defined() || args.correction_bias.num_elements() == args.num_experts,
               "correction_bias of ", args.correction_bias.num_elements());
  const float* bias = args.correction_bias.defined() ? Data<float>(args.correction_bias) : nullptr;
  float* const logits = logits_.Reserve(n * args.num_experts);
  Multiply(Data<float>(x), n, Packed(*w), nullptr, false, logits);
  ForEachRow(pool_, n, int64_t{args.num_experts} * args.top_k, [&](int64_t i) {
    SelectExperts(args, bias, logits + i * args.num_experts, ids + i * args.top_k, weights + i * args.top_k);
  });
}

void CpuBackend::Mlp(const Tensor& x, const MlpWeights& weights, const Matrix* sigmoid_gate, const Tensor& out) {
  const int64_t n = x.dim(0);
  const int64_t hidden_size = weights.hidden_size();
  CheckMatrix("Mlp x", x, n, hidden_size);
  CheckMatrix("Mlp out", out, n, hidden_size);
  float* const to = Data<float>(out);
  const float* gates = nullptr;
  if (sigmoid_gate != nullptr) {
    // Before the MLP, whose output may replace x.
    TANDEM_CHECK(sigmoid_gate->groups() == 1 && sigmoid_gate->rows() == 1 && sigmoid_gate->cols() == hidden_size,
                 "sigmoid_gate does not match");
    float* const logits = logits_.Reserve(n);
    Multiply(Data<float>(x), n, Packed(*sigmoid_gate), nullptr, false, logits);
    gates = logits;
  }
  const MlpSegment segment{&Packed(weights), 0, n};
  mlp_.Run(pool_, {absl::MakeConstSpan(&segment, 1), nullptr, Data<float>(x), DType::kF32, to, DType::kF32});
  if (gates != nullptr) {
    ForEachRow(pool_, n, hidden_size * 4,
               [&](int64_t i) { ScaleBySigmoid(gates[i], to + i * hidden_size, hidden_size); });
  }
}

void CpuBackend::GroupedMlp(const Tensor& x, absl::Span<const int32_t> pair_rows,
                            absl::Span<const ExpertSegment> segments, const Tensor& out) {
  const int64_t num_pairs = static_cast<int64_t>(pair_rows.size());
  const int64_t hidden_size = out.dim(1);
  TANDEM_CHECK(IsWireDType(x.dtype()) && IsFloat(out), "GroupedMlp on ", DTypeName(x.dtype()), " to ",
               DTypeName(out.dtype()));
  CheckMatrix("GroupedMlp x", x, x.dim(0), DispatchRowElements(x.dtype(), hidden_size));
  CheckMatrix("GroupedMlp out", out, num_pairs, hidden_size);
  for (const int32_t row : pair_rows) {
    TANDEM_CHECK(row >= 0 && row < x.dim(0), "pair of row ", row, " of ", x.dim(0));
  }
  segments_.clear();
  int64_t covered = 0;
  for (const ExpertSegment& segment : segments) {
    TANDEM_CHECK(
        segment.weights != nullptr && segment.begin >= 0 && segment.begin <= segment.end && segment.end <= num_pairs,
        "segment [", segment.begin, ", ", segment.end, ") of ", num_pairs, " pairs");
    const PackedMlp& weights = Packed(*segment.weights);
    TANDEM_CHECK(weights.hidden_size() == hidden_size &&
                     (segments_.empty() || weights.intermediate_size() == segments_[0].weights->intermediate_size()),
                 "experts of different sizes in one call");
    covered += segment.end - segment.begin;
    segments_.push_back({&weights, segment.begin, segment.end});
  }
  TANDEM_CHECK(covered == num_pairs, "segments cover ", covered, " of ", num_pairs, " pairs");
  mlp_.Run(pool_, {segments_, pair_rows.data(), RawData(x), x.dtype(), RawData(out), out.dtype()});
}

void CpuBackend::Combine(const Tensor& topk_weights, const Tensor& expert_out, const Tensor& shared, const Tensor& h) {
  const int64_t n = h.dim(0);
  const int64_t width = h.dim(1);
  const int top_k = static_cast<int>(topk_weights.dim(1));
  CheckMatrix("topk_weights", topk_weights, n, top_k);
  CheckMatrix("expert_out", expert_out, n * top_k, width);
  TANDEM_CHECK(IsFloat(expert_out), "expert_out of ", DTypeName(expert_out.dtype()));
  const float* shared_data = nullptr;
  if (shared.defined()) {
    CheckMatrix("shared", shared, n, width);
    shared_data = Data<float>(shared);
  }
  const float* weights = Data<float>(topk_weights);
  const std::byte* rows = RawData(expert_out);
  const int64_t block_bytes = top_k * width * static_cast<int64_t>(DTypeBytes(expert_out.dtype()));
  float* const to = Data<float>(h);
  ForEachRow(pool_, n, block_bytes, [&](int64_t i) {
    CombineRow(weights + i * top_k, top_k, rows + i * block_bytes, expert_out.dtype(),
               shared_data == nullptr ? nullptr : shared_data + i * width, to + i * width, width);
  });
}

}  // namespace

std::unique_ptr<Backend> CreateCpuBackend(const CpuOptions& options) { return std::make_unique<CpuBackend>(options); }

}  // namespace tandem::compute::cpu

#include "compute/cpu/packed_matrix.h"

#include <algorithm>
#include <vector>

#include "compute/cpu/row_kernels.h"

namespace tandem::compute::cpu {
namespace {

// So many panels per thread are packed before the pool is offered to others: loading an expert must not hold up a step.
constexpr int64_t kPanelsPerTurn = 4;
constexpr int64_t kMaxDimension = int64_t{1} << 31;

// Inputs are interleaved so many at a time: a cache line of a bf16 row, used up while it is there.
constexpr int64_t kInterleaveCols = 32;

// rows: [32][cols].
void InterleaveBF16(const float* rows, int64_t cols, uint32_t* out) {
  constexpr int64_t kHalf = kPanelRows / 2;
  std::vector<uint16_t> narrow(static_cast<size_t>(kPanelRows * cols));
  ConvertRow(rows, DType::kF32, narrow.data(), DType::kBF16, kPanelRows * cols);
  for (int64_t begin = 0; begin < cols; begin += kInterleaveCols) {
    const int64_t end = std::min(cols, begin + kInterleaveCols);
    for (int64_t i = 0; i < kHalf; ++i) {
      const uint16_t* low = narrow.data() + i * cols;
      const uint16_t* high = low + kHalf * cols;
      for (int64_t k = begin; k < end; ++k) {
        out[k * kHalf + i] = low[k] | uint32_t{high[k]} << 16;
      }
    }
  }
}

void InterleaveF32(const float* rows, int64_t cols, float* out) {
  for (int64_t begin = 0; begin < cols; begin += kInterleaveCols) {
    const int64_t end = std::min(cols, begin + kInterleaveCols);
    for (int64_t i = 0; i < kPanelRows; ++i) {
      for (int64_t k = begin; k < end; ++k) {
        out[k * kPanelRows + i] = rows[i * cols + k];
      }
    }
  }
}

absl::Status CheckShape(DType dtype, int64_t groups, int64_t rows, int64_t cols) {
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights cannot be kept as ", DTypeName(dtype), "; use float32 or bfloat16"));
  }
  const bool in_range = groups > 0 && rows > 0 && cols > 0 && groups < kMaxDimension && rows < kMaxDimension &&
                        cols < kMaxDimension && rows * cols < (int64_t{1} << 50) / groups;
  if (!in_range) {
    return absl::InvalidArgumentError(absl::StrCat("bad weight shape ", groups, " x [", rows, ", ", cols, "]"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const PackedMatrix>> PackedMatrix::Pack(ThreadPool& pool, DType dtype, int64_t groups,
                                                                       int64_t rows, int64_t cols,
                                                                       const RowReader& reader) {
  RETURN_IF_ERROR(CheckShape(dtype, groups, rows, cols));
  const int64_t num_panels = (rows + kPanelRows - 1) / kPanelRows;
  std::shared_ptr<PackedMatrix> matrix(new PackedMatrix(dtype, groups, rows, cols, num_panels));
  const auto read = [&](int64_t panel, int i, absl::Span<float> out) {
    const int64_t row = panel % num_panels * kPanelRows + i;
    if (row >= rows) {
      return false;
    }
    reader(panel / num_panels * rows + row, out);
    return true;
  };
  RETURN_IF_ERROR(matrix->Fill(pool, read));
  return matrix;
}

absl::StatusOr<std::shared_ptr<const PackedMatrix>> PackedMatrix::PackGateUp(ThreadPool& pool, DType dtype,
                                                                             int64_t intermediate_size,
                                                                             int64_t hidden_size, const RowReader& gate,
                                                                             const RowReader& up) {
  RETURN_IF_ERROR(CheckShape(dtype, 2, intermediate_size, hidden_size));
  constexpr int kHalf = kPanelRows / 2;
  const int64_t num_panels = (intermediate_size + kHalf - 1) / kHalf;
  std::shared_ptr<PackedMatrix> matrix(new PackedMatrix(dtype, 1, 2 * intermediate_size, hidden_size, num_panels));
  const auto read = [&](int64_t panel, int i, absl::Span<float> out) {
    const int64_t row = panel * kHalf + i % kHalf;
    if (row >= intermediate_size) {
      return false;
    }
    (i < kHalf ? gate : up)(row, out);
    return true;
  };
  RETURN_IF_ERROR(matrix->Fill(pool, read));
  return matrix;
}

absl::Status PackedMatrix::Fill(ThreadPool& pool, const PanelReader& reader) {
  const int64_t total = groups_ * num_panels_;
  ASSIGN_OR_RETURN(block_, AlignedBlock::Create(static_cast<size_t>(total * panel_bytes())));
  std::byte* const data = block_.data();
  int64_t turn_begin = 0;
  const auto pack_panel = [&](int64_t i) {
    const int64_t panel = turn_begin + i;
    std::vector<float> rows(static_cast<size_t>(kPanelRows * cols_));
    for (int row = 0; row < kPanelRows; ++row) {
      reader(panel, row, absl::MakeSpan(rows).subspan(static_cast<size_t>(row * cols_), static_cast<size_t>(cols_)));
    }
    std::byte* const out = data + panel * panel_bytes();
    if (dtype_ == DType::kBF16) {
      InterleaveBF16(rows.data(), cols_, reinterpret_cast<uint32_t*>(out));
    } else {
      InterleaveF32(rows.data(), cols_, reinterpret_cast<float*>(out));
    }
  };
  for (; turn_begin < total; turn_begin += kPanelsPerTurn * pool.num_threads()) {
    const int64_t count = std::min<int64_t>(kPanelsPerTurn * pool.num_threads(), total - turn_begin);
    if (!pool.TryRun(count, pack_panel)) {
      for (int64_t i = 0; i < count; ++i) {
        pack_panel(i);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem::compute::cpu

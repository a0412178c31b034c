// Weights in the order in which the kernels read them.
//
// A matrix is cut into panels of 32 outputs. A panel is stored input by input ("k-major"): for each k the 32 weights
// that multiply x[k], so that a thread streams memory front to back. In a bf16 panel these are 16 words of 32 bits,
// word i = output i in the low half, output i + 16 in the high half: a shift and a mask widen them to f32 without any
// shuffle, for every vector width alike. In an f32 panel they are outputs 0 … 31. The last panel is padded with zeros.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "compute/backend.h"
#include "compute/cpu/memory.h"
#include "compute/cpu/thread_pool.h"

namespace tandem::compute::cpu {

inline constexpr int kPanelRows = 32;

// `groups` matrices of [rows, cols], immutable.
class PackedMatrix final : public Matrix {
 public:
  // Reads every row once through `reader`, several at a time on the pool's threads where it is free.
  static absl::StatusOr<std::shared_ptr<const PackedMatrix>> Pack(ThreadPool& pool, DType dtype, int64_t groups,
                                                                  int64_t rows, int64_t cols, const RowReader& reader);

  // One matrix of 2 * intermediate_size outputs whose panel p holds gate rows 16 p … 16 p + 15, then the same up rows.
  static absl::StatusOr<std::shared_ptr<const PackedMatrix>> PackGateUp(ThreadPool& pool, DType dtype,
                                                                        int64_t intermediate_size, int64_t hidden_size,
                                                                        const RowReader& gate, const RowReader& up);

  int64_t groups() const override { return groups_; }
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  DType dtype() const override { return dtype_; }
  int64_t size_bytes() const override { return static_cast<int64_t>(block_.size_bytes()); }

  // Of one group.
  int64_t num_panels() const { return num_panels_; }
  int64_t panel_bytes() const { return cols_ * kPanelRows * static_cast<int64_t>(DTypeBytes(dtype_)); }
  const std::byte* Panel(int64_t group, int64_t panel) const {
    return block_.data() + (group * num_panels_ + panel) * panel_bytes();
  }

 private:
  // Fills `out` with row `row` (0 … 31) of a panel, counted over all groups; false: the row is padding.
  using PanelReader = std::function<bool(int64_t panel, int row, absl::Span<float> out)>;

  PackedMatrix(DType dtype, int64_t groups, int64_t rows, int64_t cols, int64_t num_panels)
      : dtype_(dtype), groups_(groups), rows_(rows), cols_(cols), num_panels_(num_panels) {}
  absl::Status Fill(ThreadPool& pool, const PanelReader& reader);

  DType dtype_;
  int64_t groups_;
  int64_t rows_;
  int64_t cols_;
  int64_t num_panels_;
  AlignedBlock block_;
};

class PackedMlp final : public MlpWeights {
 public:
  PackedMlp(std::shared_ptr<const PackedMatrix> gate_up, std::shared_ptr<const PackedMatrix> down)
      : gate_up_(std::move(gate_up)), down_(std::move(down)) {}

  int64_t hidden_size() const override { return gate_up_->cols(); }
  int64_t intermediate_size() const override { return down_->cols(); }
  int64_t size_bytes() const override { return gate_up_->size_bytes() + down_->size_bytes(); }
  const PackedMatrix& gate_up() const { return *gate_up_; }
  const PackedMatrix& down() const { return *down_; }

 private:
  std::shared_ptr<const PackedMatrix> gate_up_;
  std::shared_ptr<const PackedMatrix> down_;
};

}  // namespace tandem::compute::cpu

// Row layout of a batch as the kernels use it.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "compute/backend.h"

namespace tandem::compute::cpu {

class CpuBatchLayout final : public BatchLayout {
 public:
  CpuBatchLayout(absl::Span<const SequenceRows> sequences, int block_size);

  // The layout behind an interface handle; CHECKs that a CPU backend made it.
  static const CpuBatchLayout& From(const BatchLayout& layout);

  struct Row {
    int32_t position = 0;
    int32_t block = 0;   // where the row's own key and value go
    int32_t offset = 0;  // within the block
  };

  const std::vector<SequenceRows>& sequences() const { return sequences_; }
  const std::vector<Row>& rows() const { return rows_; }
  int64_t num_rows() const { return static_cast<int64_t>(rows_.size()); }
  int block_size() const { return block_size_; }
  int32_t max_position() const { return max_position_; }
  int32_t max_block() const { return max_block_; }

 private:
  std::vector<SequenceRows> sequences_;
  std::vector<Row> rows_;
  int block_size_;
  int32_t max_position_ = -1;
  int32_t max_block_ = -1;
};

}  // namespace tandem::compute::cpu

#include "compute/cpu/batch_layout.h"

#include <algorithm>

namespace tandem::compute::cpu {

CpuBatchLayout::CpuBatchLayout(absl::Span<const SequenceRows> sequences, int block_size)
    : sequences_(sequences.begin(), sequences.end()), block_size_(block_size) {
  TANDEM_CHECK(block_size > 0, "block_size ", block_size);
  for (const SequenceRows& sequence : sequences_) {
    TANDEM_CHECK(sequence.first_row == num_rows(), "sequence begins at row ", sequence.first_row, ", expected ",
                 num_rows());
    TANDEM_CHECK(sequence.num_rows >= 0 && sequence.position >= 0, "sequence of ", sequence.num_rows, " rows at ",
                 sequence.position);
    const int64_t end = int64_t{sequence.position} + sequence.num_rows;
    TANDEM_CHECK(end <= static_cast<int64_t>(sequence.block_table.size()) * block_size, end,
                 " positions need more than ", sequence.block_table.size(), " blocks of ", block_size);
    for (int32_t block : sequence.block_table) {
      TANDEM_CHECK(block >= 0, "block ", block);
      max_block_ = std::max(max_block_, block);
    }
    for (int32_t i = 0; i < sequence.num_rows; ++i) {
      const int32_t position = sequence.position + i;
      rows_.push_back(
          {position, sequence.block_table[static_cast<size_t>(position / block_size)], position % block_size});
      max_position_ = std::max(max_position_, position);
    }
  }
}

const CpuBatchLayout& CpuBatchLayout::From(const BatchLayout& layout) {
  const auto* cpu = dynamic_cast<const CpuBatchLayout*>(&layout);
  TANDEM_CHECK(cpu != nullptr, "batch layout does not belong to a CPU backend");
  return *cpu;
}

}  // namespace tandem::compute::cpu

#include "router/block_manager.h"

#include "base/status.h"

namespace tandem::router {

BlockManager::BlockManager(int64_t num_blocks, int block_size) : num_blocks_(num_blocks), block_size_(block_size) {
  free_.reserve(num_blocks);
  for (int64_t block = num_blocks - 1; block >= 0; --block) {
    free_.push_back(static_cast<int32_t>(block));
  }
}

std::optional<std::vector<int32_t>> BlockManager::Allocate(int64_t tokens) {
  const int64_t count = BlocksFor(tokens);
  if (count > num_free()) {
    return std::nullopt;
  }
  std::vector<int32_t> blocks(free_.rbegin(), free_.rbegin() + count);
  free_.resize(free_.size() - count);
  return blocks;
}

void BlockManager::Free(const std::vector<int32_t>& blocks) {
  TANDEM_CHECK(num_free() + static_cast<int64_t>(blocks.size()) <= num_blocks_, "a block was freed twice");
  free_.insert(free_.end(), blocks.begin(), blocks.end());
}

}  // namespace tandem::router

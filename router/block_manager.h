// Ownership of KV cache blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace tandem::router {

// A pool of equal blocks, handed out by index. Not thread-safe: belongs to the engine's thread.
class BlockManager {
 public:
  BlockManager(int64_t num_blocks, int block_size);

  // Blocks for `tokens` positions, all or none.
  std::optional<std::vector<int32_t>> Allocate(int64_t tokens);
  void Free(const std::vector<int32_t>& blocks);

  int64_t BlocksFor(int64_t tokens) const { return (tokens + block_size_ - 1) / block_size_; }
  int64_t num_blocks() const { return num_blocks_; }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }
  int block_size() const { return block_size_; }

 private:
  const int64_t num_blocks_;
  const int block_size_;
  std::vector<int32_t> free_;
};

}  // namespace tandem::router

#include "router/block_manager.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "base/status.h"

namespace tandem::router {

BlockManager::BlockManager(int64_t num_blocks, int block_size, bool prefix_caching)
    : num_blocks_(num_blocks), block_size_(block_size), prefix_caching_(prefix_caching), blocks_(num_blocks) {
  free_.reserve(num_blocks);
  for (int64_t block = num_blocks - 1; block >= 0; --block) {
    free_.push_back(static_cast<int32_t>(block));
  }
}

size_t BlockManager::Hash(uint64_t parent, absl::Span<const int32_t> tokens, absl::string_view salt) {
  return absl::HashOf(parent, tokens, salt);
}

int32_t BlockManager::Find(uint64_t parent, absl::Span<const int32_t> tokens, absl::string_view salt) const {
  const auto found = index_.find(Hash(parent, tokens, salt));
  if (found == index_.end()) {
    return kNone;
  }
  const Block& block = blocks_[found->second];
  return block.parent == parent && block.salt == salt && absl::MakeConstSpan(block.tokens) == tokens ? found->second
                                                                                                      : kNone;
}

int64_t BlockManager::Match(absl::Span<const int32_t> tokens, int64_t max_tokens, absl::string_view salt,
                            BlockTable& table) {
  TANDEM_CHECK(table.blocks.empty(), "a table with blocks cannot be matched");
  int64_t covered = 0;
  while (prefix_caching_ && covered + block_size_ <= max_tokens) {
    const int32_t block = Find(table.chain, tokens.subspan(covered, block_size_), covered == 0 ? salt : "");
    if (block == kNone) {
      break;
    }
    Reference(block);
    table.blocks.push_back(block);
    table.chain = blocks_[block].name;
    ++table.published;
    covered += block_size_;
  }
  return covered;
}

bool BlockManager::Grow(BlockTable& table, int64_t tokens) {
  const int64_t missing = BlocksFor(tokens) - static_cast<int64_t>(table.blocks.size());
  if (missing > num_available()) {
    return false;
  }
  for (int64_t i = 0; i < missing; ++i) {
    table.blocks.push_back(*Take());
  }
  return true;
}

void BlockManager::Publish(BlockTable& table, absl::Span<const int32_t> tokens, int64_t num_tokens,
                           absl::string_view salt) {
  while (prefix_caching_ && (table.published + 1) * block_size_ <= num_tokens) {
    const absl::Span<const int32_t> own = tokens.subspan(table.published * block_size_, block_size_);
    const absl::string_view own_salt = table.published == 0 ? salt : "";
    int32_t& slot = table.blocks[table.published];
    const int32_t twin = Find(table.chain, own, own_salt);
    if (twin != kNone && twin != slot) {
      Reference(twin);
      Unreference(slot);
      slot = twin;
    } else if (twin == kNone && blocks_[slot].name == 0) {
      Block& block = blocks_[slot];
      block.hash = Hash(table.chain, own, own_salt);
      if (!index_.emplace(block.hash, slot).second) {
        return;  // other tokens with the same hash: this chain stays private from here on
      }
      block.name = next_name_++;
      block.parent = table.chain;
      block.tokens.assign(own.begin(), own.end());
      block.salt = std::string(own_salt);
    }
    table.chain = blocks_[slot].name;
    ++table.published;
  }
}

BlockTable BlockManager::Share(const BlockTable& table) {
  for (const int32_t block : table.blocks) {
    Reference(block);
  }
  return table;
}

bool BlockManager::NeedsCopy(const BlockTable& table, int64_t position) const {
  const size_t index = static_cast<size_t>(position / block_size_);
  return index < table.blocks.size() && blocks_[table.blocks[index]].references > 1;
}

std::optional<std::pair<int32_t, int32_t>> BlockManager::Replace(BlockTable& table, int64_t position) {
  int32_t& slot = table.blocks[position / block_size_];
  TANDEM_CHECK(blocks_[slot].references > 1, "a block without other readers needs no copy");
  const std::optional<int32_t> fresh = Take();
  if (!fresh.has_value()) {
    return std::nullopt;
  }
  Unreference(slot);
  return std::make_pair(std::exchange(slot, *fresh), *fresh);
}

void BlockManager::Release(BlockTable& table) {
  // The end of a chain is of no use without its beginning, so it is to go first.
  for (auto block = table.blocks.rbegin(); block != table.blocks.rend(); ++block) {
    Unreference(*block);
  }
  table = BlockTable();
}

void BlockManager::Forget() {
  while (oldest_ != kNone) {
    const int32_t block = oldest_;
    RemoveIdle(block);
    Unpublish(block);
    free_.push_back(block);
  }
  TANDEM_CHECK(static_cast<int64_t>(free_.size()) == num_blocks_, "a block still has an owner");
}

std::optional<int32_t> BlockManager::Take() {
  int32_t block = kNone;
  if (!free_.empty()) {
    block = free_.back();
    free_.pop_back();
  } else if (oldest_ != kNone) {
    block = oldest_;
    RemoveIdle(block);
    Unpublish(block);
  } else {
    return std::nullopt;
  }
  blocks_[block].references = 1;
  return block;
}

void BlockManager::Reference(int32_t block) {
  if (blocks_[block].references++ == 0) {
    RemoveIdle(block);
  }
}

void BlockManager::Unreference(int32_t block) {
  TANDEM_CHECK(blocks_[block].references > 0, "block ", block, " was released twice");
  if (--blocks_[block].references > 0) {
    return;
  }
  if (blocks_[block].name != 0) {
    PushIdle(block);
  } else {
    free_.push_back(block);
  }
}

void BlockManager::Unpublish(int32_t index) {
  Block& block = blocks_[index];
  index_.erase(block.hash);
  block.name = 0;
  block.parent = 0;
  block.tokens.clear();
  block.salt.clear();
}

void BlockManager::PushIdle(int32_t index) {
  Block& block = blocks_[index];
  block.older = newest_;
  block.newer = kNone;
  (newest_ == kNone ? oldest_ : blocks_[newest_].newer) = index;
  newest_ = index;
  ++idle_count_;
}

void BlockManager::RemoveIdle(int32_t index) {
  Block& block = blocks_[index];
  (block.older == kNone ? oldest_ : blocks_[block.older].newer) = block.newer;
  (block.newer == kNone ? newest_ : blocks_[block.newer].older) = block.older;
  block.older = block.newer = kNone;
  --idle_count_;
}

}  // namespace tandem::router

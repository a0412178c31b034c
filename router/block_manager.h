// Ownership of KV cache blocks, and the prefix cache.
//
// Blocks are counted references: several sequences may read one block (answers to one prompt, a common prefix). A full
// block that was published stays findable after its last owner let go, until memory is needed: least recently used goes
// first. Blocks form chains: a block is found by the block before it and by its own tokens, and these are compared, not
// only hashed, so that a hit is always the same text. By the invariance contract a found block holds the very bits that
// computing it again would give.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem::router {

// The blocks of one sequence, in order. Blocks are owned through BlockManager: release them before dropping the table.
struct BlockTable {
  std::vector<int32_t> blocks;
  int64_t published = 0;  // the first blocks that are in the prefix cache
  uint64_t chain = 0;     // name of the last of them; 0: none
};

// Not thread-safe: belongs to the engine's thread.
class BlockManager {
 public:
  // Without prefix caching nothing is ever found.
  BlockManager(int64_t num_blocks, int block_size, bool prefix_caching = true);

  // Fills an empty table with the cached blocks that begin `tokens`, at most `max_tokens` of them. Only blocks published
  // with the same `salt` are found. Returns the tokens covered, a multiple of block_size.
  int64_t Match(absl::Span<const int32_t> tokens, int64_t max_tokens, absl::string_view salt, BlockTable& table);

  // Extends the table to hold `tokens` positions; all blocks or none, then false.
  bool Grow(BlockTable& table, int64_t tokens);

  // Puts the table's full blocks up to `num_tokens` positions into the prefix cache. `tokens` are the sequence's, at
  // least num_tokens of them. Where an equal block is there already the table goes on with that one.
  void Publish(BlockTable& table, absl::Span<const int32_t> tokens, int64_t num_tokens, absl::string_view salt);

  // The same blocks once more, for a second reader.
  BlockTable Share(const BlockTable& table);

  // True when the block that holds `position` has other readers, so that writing needs a copy.
  bool NeedsCopy(const BlockTable& table, int64_t position) const;

  // Replaces the block that holds `position` by a fresh one and returns {old, new}; the caller copies the contents. The
  // old one must have other readers. Nothing when no block is available.
  std::optional<std::pair<int32_t, int32_t>> Replace(BlockTable& table, int64_t position);

  // Lets go of the table's blocks and empties it.
  void Release(BlockTable& table);

  // Empties the prefix cache. No block may have an owner.
  void Forget();

  int64_t BlocksFor(int64_t tokens) const { return (tokens + block_size_ - 1) / block_size_; }
  int64_t num_blocks() const { return num_blocks_; }
  int block_size() const { return block_size_; }
  int64_t num_available() const { return static_cast<int64_t>(free_.size()) + idle_count_; }  // free or evictable
  int64_t num_cached() const { return static_cast<int64_t>(index_.size()); }

 private:
  static constexpr int32_t kNone = -1;

  struct Block {
    int32_t references = 0;
    // In the prefix cache: its name there, the name of the block before it, its tokens; the salt for the first one.
    uint64_t name = 0;
    uint64_t parent = 0;
    size_t hash = 0;
    std::vector<int32_t> tokens;
    std::string salt;
    // Neighbours in the list of cached blocks without owner.
    int32_t older = kNone;
    int32_t newer = kNone;
  };

  static size_t Hash(uint64_t parent, absl::Span<const int32_t> tokens, absl::string_view salt);
  int32_t Find(uint64_t parent, absl::Span<const int32_t> tokens, absl::string_view salt) const;
  std::optional<int32_t> Take();
  void Reference(int32_t block);
  void Unreference(int32_t block);
  void Unpublish(int32_t block);
  void PushIdle(int32_t block);
  void RemoveIdle(int32_t block);

  const int64_t num_blocks_;
  const int block_size_;
  const bool prefix_caching_;
  std::vector<Block> blocks_;
  std::vector<int32_t> free_;                        // neither owned nor cached
  absl::flat_hash_map<size_t, int32_t> index_;       // of the cached ones, by hash
  int32_t oldest_ = kNone;                           // cached ones without owner, by the time they were let go
  int32_t newest_ = kNone;
  int64_t idle_count_ = 0;
  uint64_t next_name_ = 1;
};

}  // namespace tandem::router

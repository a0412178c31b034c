// Masks that were built before, shared by all sequences of all grammars.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "model/grammar/matcher.h"

namespace tandem::grammar {

// Thread-safe.
class MaskCache {
 public:
  using Mask = std::shared_ptr<const std::vector<uint64_t>>;

  explicit MaskCache(size_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  // The mask of the matcher's place: found, or built and kept. One that was not used for long makes room.
  Mask Get(Matcher& matcher, const TokenTable& table);

 private:
  struct Hash {
    size_t operator()(const StackKey& key) const { return key.low; }
  };
  using Entries = std::list<std::pair<StackKey, Mask>>;  // the last used first

  const size_t capacity_bytes_;
  absl::Mutex mutex_;
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<StackKey, Entries::iterator, Hash> index_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tandem::grammar

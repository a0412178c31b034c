#include "model/grammar/mask_cache.h"

namespace tandem::grammar {

MaskCache::Mask MaskCache::Get(Matcher& matcher, const TokenTable& table) {
  const StackKey key = matcher.MaskKey();
  {
    absl::MutexLock lock(&mutex_);
    const auto found = index_.find(key);
    if (found != index_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
  }
  // Built without the lock: another thread may build the same one, which does no harm.
  std::vector<uint64_t> words(table.mask_words());
  matcher.FillMask(table, absl::MakeSpan(words));
  const auto mask = std::make_shared<const std::vector<uint64_t>>(std::move(words));
  const size_t bytes = table.mask_words() * sizeof(uint64_t);
  absl::MutexLock lock(&mutex_);
  if (bytes > capacity_bytes_ || index_.contains(key)) return mask;
  for (; bytes_ + bytes > capacity_bytes_; bytes_ -= bytes) {
    index_.erase(entries_.back().first);
    entries_.pop_back();
  }
  entries_.emplace_front(key, mask);
  index_[key] = entries_.begin();
  bytes_ += bytes;
  return mask;
}

}  // namespace tandem::grammar

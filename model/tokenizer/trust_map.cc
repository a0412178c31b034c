#include "model/tokenizer/trust_map.h"

#include <algorithm>

#include "base/status.h"

namespace tandem::model::tokenizer {

void TrustMap::Add(size_t bytes, bool trusted) {
  if (bytes == 0) return;
  const size_t end = (runs_.empty() ? 0 : runs_.back().end) + bytes;
  if (!runs_.empty() && runs_.back().trusted == trusted) {
    runs_.back().end = end;
  } else {
    runs_.push_back({end, trusted});
  }
}

bool TrustMap::IsTrusted(size_t begin, size_t end) const {
  // Neighbours differ, so a trusted range lies in one run.
  const auto run = std::partition_point(runs_.begin(), runs_.end(),
                                        [begin](const Run& candidate) { return candidate.end <= begin; });
  return run != runs_.end() && run->trusted && end <= run->end;
}

TrustMap TrustMap::Slice(size_t begin, size_t end) const {
  TrustMap slice;
  size_t run_begin = 0;
  for (const Run& run : runs_) {
    const size_t from = std::max(run_begin, begin);
    const size_t to = std::min(run.end, end);
    if (from < to) slice.Add(to - from, run.trusted);
    run_begin = run.end;
  }
  return slice;
}

absl::StatusOr<TrustMap> TrustMap::Normalized(absl::string_view text, absl::string_view normalized,
                                              const Normalizer& normalizer) const {
  TrustMap map;
  if (all_trusted()) {
    map.Add(normalized.size(), true);
    return map;
  }
  std::string joined;
  size_t run_begin = 0;
  for (const Run& run : runs_) {
    std::string part(text.substr(run_begin, run.end - run_begin));
    RETURN_IF_ERROR(normalizer.Apply(&part));
    joined += part;
    map.Add(part.size(), run.trusted);
    run_begin = run.end;
  }
  if (joined == normalized) return map;
  TrustMap nothing;
  nothing.Add(normalized.size(), false);
  return nothing;
}

}  // namespace tandem::model::tokenizer

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

size_t TrustMap::RunAt(size_t pos) const {
  const auto run = std::partition_point(runs_.begin(), runs_.end(), [pos](const Run& r) { return r.end <= pos; });
  return static_cast<size_t>(run - runs_.begin());
}

bool TrustMap::IsTrusted(size_t begin, size_t end) const {
  // Neighbours differ, so a trusted range lies in one run.
  const size_t i = RunAt(begin);
  return i < runs_.size() && runs_[i].trusted && end <= runs_[i].end;
}

TrustMap TrustMap::Slice(size_t begin, size_t end) const {
  TrustMap slice;
  size_t pos = begin;
  for (size_t i = RunAt(begin); i < runs_.size() && pos < end; ++i) {
    const size_t run_end = std::min(runs_[i].end, end);
    slice.Add(run_end - pos, runs_[i].trusted);
    pos = run_end;
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

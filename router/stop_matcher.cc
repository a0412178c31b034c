#include "router/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace tandem::router {

StopMatcher::StopMatcher(std::vector<std::string> stops, bool include_match) : include_match_(include_match) {
  for (std::string& stop : stops) {
    std::vector<uint32_t> fallback(stop.size(), 0);
    for (uint32_t i = 1, k = 0; i < stop.size(); ++i) {
      while (k > 0 && stop[i] != stop[k]) {
        k = fallback[k - 1];
      }
      k += stop[i] == stop[k];
      fallback[i] = k;
    }
    patterns_.push_back({std::move(stop), std::move(fallback)});
  }
}

bool StopMatcher::Pattern::Advance(char c) {
  while (matched > 0 && text[matched] != c) {
    matched = fallback[matched - 1];
  }
  matched += text[matched] == c;
  return matched == text.size();
}

std::string StopMatcher::Push(absl::string_view text) {
  if (match_ >= 0) {
    return "";
  }
  for (char c : text) {
    held_.push_back(c);
    for (size_t i = 0; i < patterns_.size(); ++i) {
      const bool longer = match_ < 0 || patterns_[i].text.size() > patterns_[match_].text.size();
      if (patterns_[i].Advance(c) && longer) {
        match_ = static_cast<int>(i);
      }
    }
    if (match_ >= 0) {
      held_.resize(held_.size() - (include_match_ ? 0 : patterns_[match_].text.size()));
      return std::exchange(held_, "");
    }
  }
  uint32_t keep = 0;
  for (const Pattern& pattern : patterns_) {
    keep = std::max(keep, pattern.matched);
  }
  std::string safe = held_.substr(0, held_.size() - keep);
  held_.erase(0, safe.size());
  return safe;
}

std::string StopMatcher::Flush() { return std::exchange(held_, ""); }

}  // namespace tandem::router

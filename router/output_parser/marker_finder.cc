#include "router/output_parser/marker_finder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace tandem::router {

int MarkerFinder::Push(char c, std::string& plain) {
  held_.push_back(c);
  size_t begin = 0;
  while (begin < held_.size() && !MayBegin(absl::string_view(held_).substr(begin))) {
    ++begin;
  }
  plain.append(held_, 0, begin);
  held_.erase(0, begin);
  const auto found = std::find(markers_.begin(), markers_.end(), held_);
  if (held_.empty() || found == markers_.end()) {
    return kNone;
  }
  held_.clear();
  return static_cast<int>(found - markers_.begin());
}

std::string MarkerFinder::Flush() { return std::exchange(held_, ""); }

bool MarkerFinder::MayBegin(absl::string_view text) const {
  return std::any_of(markers_.begin(), markers_.end(),
                     [text](const std::string& marker) { return absl::StartsWith(marker, text); });
}

}  // namespace tandem::router

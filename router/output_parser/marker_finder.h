// Finds literals in a text that comes byte by byte, and holds back no more than what may begin one.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem::router {

class MarkerFinder {
 public:
  static constexpr int kNone = -1;

  // `markers`: not empty, none the beginning of another.
  explicit MarkerFinder(absl::Span<const absl::string_view> markers) : markers_(markers.begin(), markers.end()) {}

  // Takes the next byte. Appends to `plain` what now certainly belongs to no marker. Returns the index of the marker
  // that this byte completes, or kNone.
  int Push(char c, std::string& plain);

  // What is held back; at the end of the text.
  std::string Flush();

  const std::string& marker(int index) const { return markers_[static_cast<size_t>(index)]; }

 private:
  bool MayBegin(absl::string_view text) const;

  std::vector<std::string> markers_;
  std::string held_;
};

}  // namespace tandem::router

// Finds stop strings in a text that arrives piece by piece.
//
// Algorithm: one Knuth-Morris-Pratt automaton for each stop string, so that every byte costs O(number of stop strings)
// amortised, and the result does not depend on how the text was cut into pieces: the match that ends first wins; of
// those that end together, the longest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem::router {

class StopMatcher {
 public:
  // `stops` must not be empty strings. With `include_match` the matched text stays in the output.
  StopMatcher(std::vector<std::string> stops, bool include_match);

  // Returns the text that is now certain not to belong to a stop string. After a match: what stood before it, then
  // nothing.
  std::string Push(absl::string_view text);

  // What was held back; at the end of a text without a match.
  std::string Flush();

  // The stop string that was found, or null.
  const std::string* match() const { return match_ < 0 ? nullptr : &patterns_[match_].text; }

 private:
  struct Pattern {
    std::string text;
    std::vector<uint32_t> fallback;  // KMP failure function: fallback[i] for a prefix of length i + 1
    uint32_t matched = 0;            // length of the longest prefix that ends the text so far

    bool Advance(char c);  // true when the whole pattern now ends the text
  };

  std::vector<Pattern> patterns_;
  const bool include_match_;
  std::string held_;
  int match_ = -1;
};

}  // namespace tandem::router

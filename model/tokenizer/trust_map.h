// Which bytes of a text may form control tokens: the concatenation of spans from templates (trusted) and users (not).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/normalizer.h"

namespace tandem::model::tokenizer {

class TrustMap {
 public:
  // Appends a span of `bytes` bytes.
  void Add(size_t bytes, bool trusted);

  bool all_trusted() const { return runs_.empty() || (runs_.size() == 1 && runs_[0].trusted); }
  // True if every byte in [begin, end) is trusted.
  bool IsTrusted(size_t begin, size_t end) const;

  // The map of a part of the text, with offsets relative to `begin`.
  TrustMap Slice(size_t begin, size_t end) const;

  // The map of `normalized`, the normal form of `text` (which this map describes). Where the runs cannot be told apart
  // after normalization, nothing is trusted.
  absl::StatusOr<TrustMap> Normalized(absl::string_view text, absl::string_view normalized,
                                      const Normalizer& normalizer) const;

 private:
  struct Run {
    size_t end;
    bool trusted;
  };
  // Index of the run that holds byte `pos`, or runs_.size().
  size_t RunAt(size_t pos) const;

  std::vector<Run> runs_;  // neighbours differ
};

}  // namespace tandem::model::tokenizer

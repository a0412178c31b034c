// The progress of one text through a grammar.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "model/grammar/grammar.h"
#include "model/grammar/stack_set.h"
#include "model/grammar/token_table.h"

namespace tandem::grammar {

// A copy is another progress from the same place. Not thread-safe.
class Matcher {
 public:
  explicit Matcher(std::shared_ptr<const Grammar> grammar);

  // Takes the next bytes. Returns false, and changes nothing, when they cannot follow.
  bool Accept(absl::string_view bytes);

  // Whether the text may end here.
  bool CanEnd() const { return can_end_; }
  // Whether the text must end here.
  bool MustEnd() const { return frames_.empty(); }

  // Sets the bits of the tokens that may follow and clears all others. `mask` has table.mask_words() words.
  void FillMask(const TokenTable& table, absl::Span<uint64_t> mask);

  // Equal keys of one grammar mean equal masks: the whole state, except for counts that are far from their bounds.
  StackKey MaskKey() const;

  // A lower bound of the bytes that complete the text; following it always ends.
  uint64_t BytesToEnd() const;

 private:
  void WalkTrie(const TokenTrie& trie, absl::Span<uint64_t> mask);

  std::shared_ptr<const Grammar> grammar_;
  StackSet stacks_;
  std::vector<Frame> frames_;  // all places where the text may be
  bool can_end_ = false;
};

}  // namespace tandem::grammar

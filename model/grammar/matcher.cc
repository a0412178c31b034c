#include "model/grammar/matcher.h"

#include <algorithm>
#include <utility>

namespace tandem::grammar {
namespace {

static_assert(StackSet::kCountHorizon > TokenTable::kMaxTokenBytes, "one token must not reach past the horizon");

// How many plain characters may follow a frame without leaving its rule.
size_t PlainRun(const Grammar& grammar, const Frame& frame) {
  const Grammar::State& state = grammar.state(frame.state);
  const Grammar::Rule& rule = grammar.rule(state.rule);
  if (!rule.counted) return state.plain_run;
  if (frame.state != rule.start || state.plain_run == 0) return 0;
  return rule.max - frame.count;
}

void SetBits(absl::Span<const int32_t> tokens, absl::Span<uint64_t> mask) {
  for (const int32_t token : tokens) mask[token / 64] |= uint64_t{1} << (token % 64);
}

}  // namespace

Matcher::Matcher(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)), stacks_(grammar_.get()) {
  can_end_ = stacks_.Start(frames_);
}

bool Matcher::Accept(absl::string_view bytes) {
  const StackSet::Size before = stacks_.size();
  std::vector<Frame> frames = frames_;
  std::vector<Frame> next;
  bool can_end = can_end_;
  for (const char byte : bytes) {
    next.clear();
    can_end = stacks_.Step(frames, static_cast<uint8_t>(byte), next);
    if (next.empty() && !can_end) {
      stacks_.Truncate(before);
      return false;
    }
    frames.swap(next);
  }
  frames_ = std::move(frames);
  can_end_ = can_end;
  // Most of what a long text left behind is not needed any more.
  constexpr size_t kManySets = 1024;
  if (stacks_.size().sets > kManySets) stacks_.Compact(frames_);
  return true;
}

void Matcher::FillMask(const TokenTable& table, absl::Span<uint64_t> mask) {
  size_t plain_run = 0;
  for (const Frame& frame : frames_) plain_run = std::max(plain_run, PlainRun(*grammar_, frame));
  // A token is too short to tell a long run from an endless one.
  const TokenTable::Slice* slice = table.SliceFor(plain_run);
  if (slice != nullptr) {
    std::copy(slice->mask.begin(), slice->mask.end(), mask.begin());
  } else {
    std::fill(mask.begin(), mask.end(), 0);
  }
  WalkTrie(slice != nullptr ? slice->rest : table.all(), mask);
}

// Depth first, with the frames of every node on the way kept in one stack of frames.
void Matcher::WalkTrie(const TokenTrie& trie, absl::Span<uint64_t> mask) {
  struct Level {
    size_t begin = 0;  // of its frames
    size_t end = 0;
    StackSet::Size size;  // of the stacks after it was reached
  };
  const StackSet::Size before = stacks_.size();
  std::vector<Frame> frames = frames_;
  std::vector<Level> levels(TokenTable::kMaxTokenBytes + 1);
  levels[0] = {0, frames.size(), before};
  const auto node_count = static_cast<uint32_t>(trie.bytes.size());
  for (uint32_t node = 0; node < node_count;) {
    const Level& from = levels[trie.depths[node]];
    Level& to = levels[trie.depths[node] + 1];
    frames.resize(from.end);
    stacks_.Truncate(from.size);
    const absl::Span<const Frame> at = absl::MakeConstSpan(frames).subspan(from.begin, from.end - from.begin);
    const bool can_end = stacks_.Step(at, trie.bytes[node], frames);
    if (frames.size() == from.end && !can_end) {
      node = trie.ends[node];
      continue;
    }
    to = {from.end, frames.size(), stacks_.size()};
    SetBits(absl::MakeConstSpan(trie.tokens)
                .subspan(trie.first_tokens[node], trie.first_tokens[node + 1] - trie.first_tokens[node]),
            mask);
    node = frames.size() == from.end ? trie.ends[node] : node + 1;
  }
  stacks_.Truncate(before);
}

StackKey Matcher::MaskKey() const { return stacks_.KeyOf(frames_, can_end_); }

uint64_t Matcher::BytesToEnd() const { return can_end_ ? 0 : stacks_.BytesToEnd(frames_); }

}  // namespace tandem::grammar

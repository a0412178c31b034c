#include "model/tokenizer/added_tokens.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

size_t SkipSpaceBackward(absl::string_view text, size_t pos, size_t limit) {
  while (pos > limit) {
    const size_t previous = PreviousCharacter(text, pos);
    size_t cursor = previous;
    if (!IsWhiteSpace(NextCodePoint(text, &cursor))) break;
    pos = previous;
  }
  return pos;
}

size_t SkipSpaceForward(absl::string_view text, size_t pos) {
  while (pos < text.size()) {
    size_t next = pos;
    if (!IsWhiteSpace(NextCodePoint(text, &next))) break;
    pos = next;
  }
  return pos;
}

bool TouchesWord(absl::string_view text, size_t begin, size_t end) {
  if (begin > 0) {
    size_t previous = PreviousCharacter(text, begin);
    if (IsWordCharacter(NextCodePoint(text, &previous))) return true;
  }
  return end < text.size() && IsWordCharacter(NextCodePoint(text, &end));
}

}  // namespace

bool AddedToken::IsControl() const {
  return special || (absl::StartsWith(content, "<|") && absl::EndsWith(content, "|>")) ||
         (absl::StartsWith(content, "<\xEF\xBD\x9C") && absl::EndsWith(content, "\xEF\xBD\x9C>"));
}

absl::Status AddedTokenMatcher::Add(const AddedToken& token, absl::string_view pattern) {
  if (pattern.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: added token ", token.id, " \"", token.content,
                                                   "\" is empty after normalization"));
  }
  uint32_t node = 0;
  for (const char c : pattern) {
    const uint64_t key = uint64_t{node} << 8 | static_cast<unsigned char>(c);
    const auto [edge, is_new] = edges_.try_emplace(key, static_cast<uint32_t>(token_at_node_.size()));
    if (is_new) token_at_node_.push_back(kNoToken);
    node = edge->second;
  }
  if (token_at_node_[node] != kNoToken) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: added tokens ", tokens_[token_at_node_[node]].id,
                                                   " and ", token.id, " both match \"", pattern, "\""));
  }
  token_at_node_[node] = static_cast<int32_t>(tokens_.size());
  starts_token_[static_cast<unsigned char>(pattern[0])] = true;
  tokens_.push_back(token);
  return absl::OkStatus();
}

const AddedToken* AddedTokenMatcher::LongestAt(absl::string_view text, size_t begin, IsAllowed is_allowed,
                                               size_t* end) const {
  const AddedToken* longest = nullptr;
  uint32_t node = 0;
  for (size_t pos = begin; pos < text.size(); ++pos) {
    const auto edge = edges_.find(uint64_t{node} << 8 | static_cast<unsigned char>(text[pos]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (token_at_node_[node] == kNoToken) continue;
    const AddedToken& token = tokens_[token_at_node_[node]];
    if (is_allowed(token, begin, pos + 1)) {
      longest = &token;
      *end = pos + 1;
    }
  }
  return longest;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::FindNext(absl::string_view text, size_t from,
                                                                    IsAllowed is_allowed) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_token_[static_cast<unsigned char>(text[begin])]) continue;
    size_t end = 0;
    if (const AddedToken* token = LongestAt(text, begin, is_allowed, &end)) return Match{begin, end, token};
  }
  return std::nullopt;
}

std::vector<AddedTokenMatcher::Part> AddedTokenMatcher::Split(absl::string_view text, IsAllowed is_allowed) const {
  std::vector<Part> parts;
  size_t done = 0;  // parts cover text[0, done)
  size_t from = 0;
  while (const std::optional<Match> match = empty() ? std::nullopt : FindNext(text, from, is_allowed)) {
    from = match->end;
    const AddedToken& token = *match->token;
    if (token.single_word && TouchesWord(text, match->begin, match->end)) continue;
    size_t begin = match->begin;
    size_t end = match->end;
    // White space that the previous match took stays with it.
    if (token.lstrip) begin = begin < done ? done : SkipSpaceBackward(text, begin, done);
    if (token.rstrip) end = SkipSpaceForward(text, end);
    if (done < begin) parts.push_back({done, begin, std::nullopt});
    parts.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), std::nullopt});
  return parts;
}

}  // namespace tandem::model::tokenizer

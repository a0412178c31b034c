#include "model/tokenizer/decode_stages.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "model/tokenizer/byte_alphabet.h"

namespace tandem::model::tokenizer {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = absl::ascii_tolower(static_cast<unsigned char>(c));
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Bytes of the run of `content` at the end of `text`, at most `limit` repetitions.
size_t TrailingRunBytes(absl::string_view text, absl::string_view content, size_t limit) {
  size_t bytes = 0;
  while (limit-- > 0 && absl::ConsumeSuffix(&text, content)) bytes += content.size();
  return bytes;
}

}  // namespace

int ByteOfFallbackToken(absl::string_view token) {
  if (token.size() != 6 || !absl::StartsWith(token, "<0x") || token[5] != '>') return -1;
  const int low = HexDigit(token[4]);
  // Rust's from_str_radix, which the peer uses, takes a plus sign.
  const int high = token[3] == '+' ? 0 : HexDigit(token[3]);
  return low < 0 || high < 0 ? -1 : high * 16 + low;
}

std::string ReplaceLiteralIn(absl::string_view text, absl::string_view pattern, absl::string_view content) {
  return absl::StrReplaceAll(text, {{pattern, content}});
}

void JoinStage::Push(absl::string_view token) {
  if (!is_first_) Emit(" ");
  is_first_ = false;
  Emit(token);
}

void ByteLevelStage::Push(absl::string_view token) {
  const std::optional<std::string> bytes = BytesFromAlphabet(token);
  std::string text;
  stream_.Push(bytes ? absl::string_view(*bytes) : token, &text);
  Emit(text);
}

void ByteLevelStage::Finish() {
  std::string text;
  stream_.Finish(&text);
  Emit(text);
}

void ByteFallbackStage::Push(absl::string_view token) {
  const int byte = ByteOfFallbackToken(token);
  if (byte >= 0) {
    run_.push_back(static_cast<char>(byte));
    return;
  }
  Finish();
  Emit(token);
}

void ByteFallbackStage::Finish() {
  if (run_.empty()) return;
  const std::string run = std::move(run_);
  run_.clear();
  if (IsValidUtf8(run)) {
    Emit(run);
    return;
  }
  for (size_t i = 0; i < run.size(); ++i) Emit(kReplacementCharacter);
}

void MetaspaceStage::Push(absl::string_view token) {
  const bool drops_marks = is_first_ && options_->prepend != PrependScheme::kNever;
  is_first_ = false;
  Emit(ReplaceLiteralIn(token, options_->replacement, drops_marks ? "" : " "));
}

void FusedReplaceLiteralStage::Push(absl::string_view chunk) {
  held_.append(chunk.data(), chunk.size());
  std::string out;
  size_t done = 0;
  for (size_t match = held_.find(pattern_); match != std::string::npos; match = held_.find(pattern_, done)) {
    out.append(held_, done, match - done);
    out.append(content_);
    done = match + pattern_.size();
  }
  absl::string_view rest = absl::string_view(held_).substr(done);
  size_t keep = std::min(rest.size(), pattern_.size() - 1);
  while (keep > 0 && !absl::StartsWith(pattern_, rest.substr(rest.size() - keep))) --keep;
  out.append(rest.data(), rest.size() - keep);
  held_ = std::string(rest.substr(rest.size() - keep));
  Emit(out);
}

void ReplaceRegexStage::Push(absl::string_view token) {
  std::string out;
  size_t done = 0;
  const absl::Status status = regex_->ForEachMatch(token, [&](size_t begin, size_t end) {
    out.append(token.data() + done, begin - done);
    out.append(content_);
    done = end;
  });
  if (!status.ok()) {
    Emit(token);
    return;
  }
  out.append(token.data() + done, token.size() - done);
  Emit(out);
}

void StripStage::Push(absl::string_view token) {
  for (size_t i = 0; i < options_.start && absl::ConsumePrefix(&token, options_.content); ++i) {
  }
  token.remove_suffix(TrailingRunBytes(token, options_.content, options_.stop));
  Emit(token);
}

void FusedStripStage::Push(absl::string_view chunk) {
  while (options_.start > 0 && !chunk.empty()) {
    options_.start = absl::ConsumePrefix(&chunk, options_.content) ? options_.start - 1 : 0;
  }
  held_.append(chunk.data(), chunk.size());
  const size_t tail = TrailingRunBytes(held_, options_.content, options_.stop);
  Emit(absl::string_view(held_).substr(0, held_.size() - tail));
  held_.erase(0, held_.size() - tail);
}

}  // namespace tandem::model::tokenizer

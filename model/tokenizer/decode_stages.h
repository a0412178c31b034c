// The stages a decoder chain is made of. Each does to a stream of tokens what its namesake does to the whole list.
// After Fuse (or ByteLevel) the stream is one token that arrives in chunks; only the Fused stages can follow then.
#pragma once

#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/metaspace.h"
#include "model/tokenizer/regex.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {

// The byte of a token like <0x0A>, or -1.
int ByteOfFallbackToken(absl::string_view token);

std::string ReplaceLiteralIn(absl::string_view text, absl::string_view pattern, absl::string_view content);

// No decoder: a space between tokens.
class JoinStage : public DecodeStage {
 public:
  void Push(absl::string_view token) override;

 private:
  bool is_first_ = true;
};

class ByteLevelStage : public DecodeStage {
 public:
  void Push(absl::string_view token) override;
  void Finish() override;

 private:
  LossyUtf8Stream stream_;
};

// A run of byte tokens becomes text when it ends: all of it, or one U+FFFD per byte if it is not valid UTF-8 as a
// whole.
class ByteFallbackStage : public DecodeStage {
 public:
  void Push(absl::string_view token) override;
  void Finish() override;

 private:
  std::string run_;
};

// Collects all chunks of a fused stream into one token.
class BufferStage : public DecodeStage {
 public:
  void Push(absl::string_view token) override { all_.append(token.data(), token.size()); }
  void Finish() override { Emit(all_); }

 private:
  std::string all_;
};

class MetaspaceStage : public DecodeStage {
 public:
  explicit MetaspaceStage(const MetaspaceOptions* options) : options_(options) {}
  void Push(absl::string_view token) override;

 private:
  const MetaspaceOptions* options_;
  bool is_first_ = true;
};

class ReplaceLiteralStage : public DecodeStage {
 public:
  ReplaceLiteralStage(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void Push(absl::string_view token) override { Emit(ReplaceLiteralIn(token, pattern_, content_)); }

 private:
  std::string pattern_;
  std::string content_;
};

// Holds back an end that may be the start of the pattern.
class FusedReplaceLiteralStage : public DecodeStage {
 public:
  FusedReplaceLiteralStage(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void Push(absl::string_view chunk) override;
  void Finish() override { Emit(held_); }

 private:
  std::string pattern_;
  std::string content_;
  std::string held_;
};

// Tokens on which the regex gives up are left as they are.
class ReplaceRegexStage : public DecodeStage {
 public:
  ReplaceRegexStage(const Regex* regex, std::string content) : regex_(regex), content_(std::move(content)) {}
  void Push(absl::string_view token) override;

 private:
  const Regex* regex_;
  std::string content_;
};

// Drops up to `start` leading and `stop` trailing characters equal to `content`.
struct StripOptions {
  std::string content;  // one character
  size_t start = 0;
  size_t stop = 0;
};

class StripStage : public DecodeStage {
 public:
  explicit StripStage(StripOptions options) : options_(std::move(options)) {}
  void Push(absl::string_view token) override;

 private:
  StripOptions options_;
};

// Holds back trailing characters that the end of the text would drop.
class FusedStripStage : public DecodeStage {
 public:
  explicit FusedStripStage(StripOptions options) : options_(std::move(options)) {}
  void Push(absl::string_view chunk) override;

 private:
  StripOptions options_;  // `start` counts down
  std::string held_;
};

}  // namespace tandem::model::tokenizer

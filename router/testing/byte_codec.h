// Text fakes for tests: a token is a byte, and there are a few special tokens.
#pragma once

#include "router/text_codec.h"

namespace tandem::router {

// Ids 0..255 are bytes; kBegin "<|begin|>", kEnd "<|end|>".
class ByteCodec final : public TextCodec {
 public:
  static constexpr int32_t kBegin = 256;
  static constexpr int32_t kEnd = 257;
  static constexpr int32_t kVocabSize = 258;

  absl::StatusOr<std::vector<int32_t>> Encode(absl::Span<const PromptSpan> spans,
                                              bool add_special_tokens) const override;
  std::string Decode(absl::Span<const int32_t> tokens, bool skip_special_tokens) const override;
  std::unique_ptr<IncrementalDecoder> NewDecoder(bool skip_special_tokens,
                                                 absl::Span<const std::string> visible) const override;
  std::string TokenBytes(int32_t token) const override;
  bool IsSpecial(int32_t token) const override { return token >= kBegin; }
};

// "role: content" lines, each ended by <|end|>, behind a line of the tools' names; refuses the role "function".
// open_reasoning ends the prompt with <think>.
class LineTemplate final : public PromptTemplate {
 public:
  absl::StatusOr<std::vector<PromptSpan>> Render(const Json& messages, const Json& tools,
                                                 const PromptOptions& options) const override;
};

}  // namespace tandem::router

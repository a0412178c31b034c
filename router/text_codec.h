// What the completion layer needs of tokenizer and chat template; the model's own classes are adapted to it.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem::router {

using Json = nlohmann::ordered_json;

// A piece of a prompt. Text that users wrote has `parse_special` false: special tokens spelled out in it stay plain
// text.
struct PromptSpan {
  std::string text;
  bool parse_special = true;
};

// Turns the token ids of one sequence into text, piece by piece. Not thread-safe.
class IncrementalDecoder {
 public:
  virtual ~IncrementalDecoder() = default;
  // Text that is now certain; never half a UTF-8 character.
  virtual std::string Push(int32_t token) = 0;
  // The rest, at the end of the sequence; incomplete bytes become U+FFFD.
  virtual std::string Flush() = 0;
};

// Thread-safe.
class TextCodec {
 public:
  virtual ~TextCodec() = default;
  // Errors: INVALID_ARGUMENT for text that is not UTF-8.
  virtual absl::StatusOr<std::vector<int32_t>> Encode(absl::Span<const PromptSpan> spans,
                                                      bool add_special_tokens) const = 0;
  virtual std::string Decode(absl::Span<const int32_t> tokens, bool skip_special_tokens) const = 0;
  // Tokens named in `visible` are not skipped; names that are no single token do not matter.
  virtual std::unique_ptr<IncrementalDecoder> NewDecoder(bool skip_special_tokens,
                                                         absl::Span<const std::string> visible) const = 0;
  // What one token adds in the middle of a text: maybe a part of a character; empty for ids that name no token.
  virtual std::string TokenBytes(int32_t token) const = 0;
  // Whether decoders leave it out unless asked for.
  virtual bool IsSpecial(int32_t token) const = 0;
};

struct PromptOptions {
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  Json kwargs = Json::object();  // chat_template_kwargs of the request
};

// Thread-safe.
class PromptTemplate {
 public:
  virtual ~PromptTemplate() = default;
  // `messages` and `tools` as in the request (`tools` may be null). Errors: INVALID_ARGUMENT with the template's
  // message, FAILED_PRECONDITION when the model has no template.
  virtual absl::StatusOr<std::vector<PromptSpan>> Render(const Json& messages, const Json& tools,
                                                         const PromptOptions& options) const = 0;
};

}  // namespace tandem::router

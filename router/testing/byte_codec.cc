#include "router/testing/byte_codec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tandem::router {
namespace {

constexpr absl::string_view kSpecial[] = {"<|begin|>", "<|end|>"};

// Length of the UTF-8 sequence that `lead` begins; 1 for anything invalid.
size_t SequenceLength(unsigned char lead) { return lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1; }

class ByteDecoder final : public IncrementalDecoder {
 public:
  ByteDecoder(bool skip_special, absl::Span<const std::string> visible) {
    for (size_t i = 0; i < std::size(kSpecial); ++i) {
      skip_[i] = skip_special && std::find(visible.begin(), visible.end(), kSpecial[i]) == visible.end();
    }
  }

  std::string Push(int32_t token) override {
    if (token >= ByteCodec::kBegin) {
      const size_t special = static_cast<size_t>(token - ByteCodec::kBegin);
      return Flush() + (skip_[special] ? "" : std::string(kSpecial[special]));
    }
    pending_.push_back(static_cast<char>(token));
    const bool complete = pending_.size() >= SequenceLength(static_cast<unsigned char>(pending_[0]));
    return complete ? std::exchange(pending_, "") : "";
  }

  std::string Flush() override { return std::exchange(pending_, "").empty() ? "" : "\xef\xbf\xbd"; }

 private:
  bool skip_[std::size(kSpecial)];
  std::string pending_;
};

}  // namespace

absl::StatusOr<std::vector<int32_t>> ByteCodec::Encode(absl::Span<const PromptSpan> spans,
                                                       bool add_special_tokens) const {
  std::vector<int32_t> tokens;
  if (add_special_tokens) {
    tokens.push_back(kBegin);
  }
  for (const PromptSpan& span : spans) {
    absl::string_view text = span.text;
    while (!text.empty()) {
      int32_t token = static_cast<unsigned char>(text[0]);
      size_t length = 1;
      for (int32_t i = 0; span.parse_special && i < 2; ++i) {
        if (absl::StartsWith(text, kSpecial[i])) {
          token = kBegin + i;
          length = kSpecial[i].size();
        }
      }
      tokens.push_back(token);
      text.remove_prefix(length);
    }
  }
  return tokens;
}

std::string ByteCodec::Decode(absl::Span<const int32_t> tokens, bool skip_special_tokens) const {
  ByteDecoder decoder(skip_special_tokens, {});
  std::string text;
  for (int32_t token : tokens) {
    text += decoder.Push(token);
  }
  return text + decoder.Flush();
}

std::unique_ptr<IncrementalDecoder> ByteCodec::NewDecoder(bool skip_special_tokens,
                                                          absl::Span<const std::string> visible) const {
  return std::make_unique<ByteDecoder>(skip_special_tokens, visible);
}

std::string ByteCodec::TokenBytes(int32_t token) const {
  return IsSpecial(token) ? std::string(kSpecial[token - kBegin]) : std::string(1, static_cast<char>(token));
}

absl::StatusOr<std::vector<PromptSpan>> LineTemplate::Render(const Json& messages, const Json& tools,
                                                             const PromptOptions& options) const {
  std::vector<PromptSpan> spans;
  for (const Json& tool : tools) {
    spans.push_back({absl::StrCat("tool ", tool["function"]["name"].get<std::string>(), "<|end|>"), true});
  }
  for (const Json& message : messages) {
    if (message["role"] == "function") {
      return absl::InvalidArgumentError("line 1: role 'function' is unknown");
    }
    spans.push_back({absl::StrCat(message["role"].get<std::string>(), ": "), true});
    spans.push_back({message["content"].is_null() ? "" : message["content"].get<std::string>(), false});
    spans.push_back({"<|end|>", true});
  }
  if (options.continue_final_message) {
    spans.pop_back();
  }
  if (options.kwargs.value("enable_thinking", false)) {
    spans.push_back({"(thinking)", true});
  }
  if (options.add_generation_prompt) {
    spans.push_back({options.kwargs.value("open_reasoning", false) ? "assistant: <think>\n" : "assistant: ", true});
  }
  return spans;
}

}  // namespace tandem::router

#include "router/output_parser/named_call.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace tandem::router {
namespace {

constexpr absl::string_view kToolSeparator = "<｜tool▁sep｜>";

bool IsName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '<' && c != '>' && c != '"' && c != '`' && c != '[' && c != ']';
  });
}

std::optional<CallHead> Named(absl::string_view name, absl::string_view id = "") {
  name = absl::StripAsciiWhitespace(name);
  return IsName(name) ? std::optional(CallHead{std::string(name), std::string(id)}) : std::nullopt;
}

}  // namespace

std::optional<CallHead> ParseDeepSeekV3Head(absl::string_view head) {
  const size_t separator = head.find(kToolSeparator);
  head = absl::StripTrailingAsciiWhitespace(head);
  if (separator == absl::string_view::npos || !absl::ConsumeSuffix(&head, "```json")) {
    return std::nullopt;
  }
  return Named(head.substr(separator + kToolSeparator.size()));
}

std::optional<CallHead> ParseDeepSeekV31Head(absl::string_view head) {
  head = absl::StripTrailingAsciiWhitespace(head);
  return absl::ConsumeSuffix(&head, kToolSeparator) ? Named(head) : std::nullopt;
}

std::optional<CallHead> ParseKimiHead(absl::string_view head) {
  head = absl::StripTrailingAsciiWhitespace(head);
  if (!absl::ConsumeSuffix(&head, "<|tool_call_argument_begin|>")) {
    return std::nullopt;
  }
  const absl::string_view id = absl::StripAsciiWhitespace(head);
  absl::string_view name = id;
  absl::ConsumePrefix(&name, "functions.");
  name = name.substr(0, name.rfind(':'));
  return Named(name, id);
}

std::optional<CallHead> ParseMistralHead(absl::string_view head) {
  head = absl::StripTrailingAsciiWhitespace(head);
  absl::ConsumeSuffix(&head, "[ARGS]");
  const size_t id = head.find("[CALL_ID]");
  return id == absl::string_view::npos ? Named(head) : Named(head.substr(0, id), head.substr(id + 9));
}

CallReader::Step NamedCallReader::Push(char c, CallSink& sink) {
  if (in_arguments_) {
    return arguments_.Push(c, sink);
  }
  if (c != '{') {
    head_.push_back(c);
    return head_.size() > kMaxHeadBytes ? Step::kReject : Step::kMore;
  }
  std::optional<CallHead> head = parse_head_(head_);
  if (!head.has_value()) {
    return Step::kReject;
  }
  in_arguments_ = true;
  sink.Begin(std::move(head->name), std::move(head->id));
  return arguments_.Push(c, sink);
}

CallReader::Step MistralCallReader::Push(char c, CallSink& sink) {
  if (reader_ == nullptr) {
    if (IsJsonSpace(c)) return Step::kMore;
    if (c == '[') {
      reader_ = std::make_unique<JsonCallListReader>(rules_);
    } else {
      reader_ = std::make_unique<NamedCallReader>(ParseMistralHead);
    }
  }
  return reader_->Push(c, sink);
}

}  // namespace tandem::router

// Calls that give the name first, between markers, and then the arguments as JSON.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "router/output_parser/call_reader.h"
#include "router/output_parser/json_call.h"

namespace tandem::router {

// What stands before the arguments.
struct CallHead {
  std::string name;
  std::string id;  // empty: the format has none
};

// Takes the text between the opening marker and the { of the arguments; nullopt when it is no head of the format.
using HeadParser = std::function<std::optional<CallHead>(absl::string_view head)>;

std::optional<CallHead> ParseDeepSeekV3Head(absl::string_view head);   // function<｜tool▁sep｜>name\n```json\n
std::optional<CallHead> ParseDeepSeekV31Head(absl::string_view head);  // name<｜tool▁sep｜>
std::optional<CallHead> ParseKimiHead(absl::string_view head);         // functions.name:0<|tool_call_argument_begin|>
std::optional<CallHead> ParseMistralHead(absl::string_view head);      // name[ARGS], name[CALL_ID]id[ARGS], name

class NamedCallReader final : public CallReader {
 public:
  explicit NamedCallReader(HeadParser parse_head) : parse_head_(std::move(parse_head)) {}

  Step Push(char c, CallSink& sink) override;

 private:
  static constexpr size_t kMaxHeadBytes = 512;

  const HeadParser parse_head_;
  std::string head_;
  bool in_arguments_ = false;
  JsonArgumentsReader arguments_;
};

// What follows Mistral's [TOOL_CALLS]: a list of JSON calls, or one named call.
class MistralCallReader final : public CallReader {
 public:
  explicit MistralCallReader(JsonCallRules rules) : rules_(std::move(rules)) {}

  Step Push(char c, CallSink& sink) override;

 private:
  const JsonCallRules rules_;
  std::unique_ptr<CallReader> reader_;  // null before the first byte that is no white space
};

}  // namespace tandem::router

// The formats in which models write tool calls: their markers and readers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "router/output_parser/call_reader.h"
#include "router/output_parser/tool_schemas.h"

namespace tandem::router {

enum class ToolFormat : uint8_t {
  kNone,
  kHermes,       // <tool_call>{"name", "arguments"}</tool_call>: Hermes, Qwen2.5, Qwen3
  kQwen3Coder,   // <tool_call><function=name><parameter=key>value</parameter></function></tool_call>
  kGlm45,        // <tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>
  kDeepSeekV3,   // DeepSeek's markers around a type, the name, and a ```json block
  kDeepSeekV31,  // DeepSeek's markers around name and JSON
  kKimiK2,       // <|tool_call_begin|>functions.name:0<|tool_call_argument_begin|>{…}<|tool_call_end|>
  kMistral,      // [TOOL_CALLS][{"name", "arguments"}], [TOOL_CALLS]name[ARGS]{…}
  kLlama3Json,   // the whole answer is {"name", "parameters"}, maybe behind <|python_tag|>
};

// "hermes", …; "none".
absl::string_view ToolFormatName(ToolFormat format);
std::optional<ToolFormat> ToolFormatByName(absl::string_view name);
std::vector<std::string> ToolFormatNames();

struct ToolSyntax {
  std::vector<absl::string_view> opening;  // a call, or a list of calls, follows
  std::vector<absl::string_view> section;  // may stand before an opening
  std::vector<absl::string_view> closing;  // may stand behind a call
  std::vector<absl::string_view> inner;    // within calls; named here because they may be special tokens
  bool bare_json = false;  // a call may also be a JSON object without an opening, where nothing else precedes it
  bool short_ids = false;  // call ids are 9 letters and digits
  std::function<std::unique_ptr<CallReader>(const ToolSchemas& schemas)> make_reader;  // `schemas` must outlive it
};

// `format` is not kNone. The reference is good for ever.
const ToolSyntax& SyntaxOf(ToolFormat format);

}  // namespace tandem::router

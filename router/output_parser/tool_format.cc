#include "router/output_parser/tool_format.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/status.h"
#include "router/output_parser/json_call.h"
#include "router/output_parser/named_call.h"
#include "router/output_parser/tagged_call.h"

namespace tandem::router {
namespace {

constexpr std::pair<ToolFormat, absl::string_view> kNames[] = {
    {ToolFormat::kNone, "none"},
    {ToolFormat::kHermes, "hermes"},
    {ToolFormat::kQwen3Coder, "qwen3_coder"},
    {ToolFormat::kGlm45, "glm45"},
    {ToolFormat::kDeepSeekV3, "deepseek_v3"},
    {ToolFormat::kDeepSeekV31, "deepseek_v31"},
    {ToolFormat::kKimiK2, "kimi_k2"},
    {ToolFormat::kMistral, "mistral"},
    {ToolFormat::kLlama3Json, "llama3_json"},
};

const CallTags& Qwen3CoderTags() {
  static const auto* const tags = new CallTags{.name_begin = "<function=",
                                               .name_end = ">",
                                               .key_begin = "<parameter=",
                                               .key_end = ">",
                                               .value_begin = "",
                                               .value_end = "</parameter>",
                                               .end = "</function>",
                                               .value_on_own_lines = true};
  return *tags;
}

const CallTags& Glm45Tags() {
  static const auto* const tags = new CallTags{.name_begin = "",
                                               .name_end = "",
                                               .key_begin = "<arg_key>",
                                               .key_end = "</arg_key>",
                                               .value_begin = "<arg_value>",
                                               .value_end = "</arg_value>",
                                               .end = "</tool_call>"};
  return *tags;
}

ToolSyntax DeepSeek(HeadParser parse_head, std::vector<absl::string_view> closing) {
  closing.push_back("<｜tool▁call▁end｜>");
  closing.push_back("<｜tool▁calls▁end｜>");
  return {.opening = {"<｜tool▁call▁begin｜>"},
          .section = {"<｜tool▁calls▁begin｜>"},
          .closing = std::move(closing),
          .inner = {"<｜tool▁sep｜>"},
          .make_reader = [parse_head](const ToolSchemas&) { return std::make_unique<NamedCallReader>(parse_head); }};
}

ToolSyntax MakeSyntax(ToolFormat format) {
  switch (format) {
    case ToolFormat::kNone:
      break;
    case ToolFormat::kHermes:
      return {.opening = {"<tool_call>"}, .closing = {"</tool_call>"}, .make_reader = [](const ToolSchemas&) {
                return std::make_unique<JsonCallReader>(JsonCallRules());
              }};
    case ToolFormat::kQwen3Coder:
      return {.opening = {"<tool_call>"}, .closing = {"</tool_call>"}, .make_reader = [](const ToolSchemas& schemas) {
                return std::make_unique<TaggedCallReader>(Qwen3CoderTags(), schemas);
              }};
    case ToolFormat::kGlm45:
      return {.opening = {"<tool_call>"}, .closing = {"</tool_call>"}, .make_reader = [](const ToolSchemas& schemas) {
                return std::make_unique<TaggedCallReader>(Glm45Tags(), schemas);
              }};
    case ToolFormat::kDeepSeekV3:
      return DeepSeek(ParseDeepSeekV3Head, {"```"});
    case ToolFormat::kDeepSeekV31:
      return DeepSeek(ParseDeepSeekV31Head, {});
    case ToolFormat::kKimiK2:
      return {.opening = {"<|tool_call_begin|>"},
              .section = {"<|tool_calls_section_begin|>"},
              .closing = {"<|tool_call_end|>", "<|tool_calls_section_end|>"},
              .inner = {"<|tool_call_argument_begin|>"},
              .make_reader = [](const ToolSchemas&) { return std::make_unique<NamedCallReader>(ParseKimiHead); }};
    case ToolFormat::kMistral:
      return {.opening = {"[TOOL_CALLS]"},
              .inner = {"[ARGS]", "[CALL_ID]"},
              .short_ids = true,
              .make_reader = [](const ToolSchemas&) { return std::make_unique<MistralCallReader>(JsonCallRules()); }};
    case ToolFormat::kLlama3Json:
      return {
          .opening = {"<|python_tag|>"},
          .closing = {";"},
          .bare_json = true,
          .make_reader = [](const ToolSchemas& schemas) {
            return std::make_unique<JsonCallReader>(JsonCallRules{.needs_arguments = true, .names = schemas.names()});
          }};
  }
  TANDEM_CHECK(false, "no syntax for ", ToolFormatName(format));
}

}  // namespace

absl::string_view ToolFormatName(ToolFormat format) { return kNames[static_cast<size_t>(format)].second; }

std::optional<ToolFormat> ToolFormatByName(absl::string_view name) {
  for (const auto& [format, known] : kNames) {
    if (known == name) return format;
  }
  return std::nullopt;
}

std::vector<std::string> ToolFormatNames() {
  std::vector<std::string> names;
  for (const auto& [format, name] : kNames) {
    names.emplace_back(name);
  }
  return names;
}

const ToolSyntax& SyntaxOf(ToolFormat format) {
  static const auto* const all = [] {
    auto* syntaxes = new std::vector<ToolSyntax>(1);  // kNone has none
    for (size_t i = 1; i < std::size(kNames); ++i) {
      syntaxes->push_back(MakeSyntax(static_cast<ToolFormat>(i)));
    }
    return syntaxes;
  }();
  return (*all)[static_cast<size_t>(format)];
}

}  // namespace tandem::router

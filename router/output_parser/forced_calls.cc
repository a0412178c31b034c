#include "router/output_parser/forced_calls.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace tandem::router {
namespace {

using grammar::Expression;

// How a format writes calls; NAME stands for the function's name, INDEX for a number.
struct CallText {
  absl::string_view begin;  // before the first call
  absl::string_view head;
  absl::string_view tail;
  absl::string_view separator;
  absl::string_view end;
};

CallText TextOf(ToolFormat format) {
  switch (format) {
    case ToolFormat::kDeepSeekV3:
      return {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n",
              "\n```<｜tool▁call▁end｜>", "\n", "<｜tool▁calls▁end｜>"};
    case ToolFormat::kDeepSeekV31:
      return {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "",
              "<｜tool▁calls▁end｜>"};
    case ToolFormat::kKimiK2:
      return {"<|tool_calls_section_begin|>", "<|tool_call_begin|>functions.NAME:INDEX<|tool_call_argument_begin|>",
              "<|tool_call_end|>", "", "<|tool_calls_section_end|>"};
    case ToolFormat::kMistral:
      return {"[TOOL_CALLS][", "{\"name\": \"NAME\", \"arguments\": ", "}", ", ", "]"};
    case ToolFormat::kLlama3Json:
      return {"", "{\"name\": \"NAME\", \"parameters\": ", "}", "; ", ""};
    default:
      return {"", "<tool_call>\n{\"name\": \"NAME\", \"arguments\": ", "}\n</tool_call>", "\n", ""};
  }
}

// Any text up to and with the first `marker`. Algorithm: Knuth, Morris, Pratt; a state is how much of the marker ends
// the text so far.
absl::StatusOr<Expression> TextUntil(absl::string_view marker, grammar::Budget& budget) {
  const size_t size = marker.size();
  const auto step = [&](size_t matched, uint8_t byte) -> std::optional<size_t> {
    if (matched == size) return std::nullopt;
    std::string text(marker.substr(0, matched));
    text.push_back(static_cast<char>(byte));
    size_t keep = text.size();
    while (keep > 0 && marker.substr(0, keep) != absl::string_view(text).substr(text.size() - keep)) --keep;
    return keep;
  };
  ASSIGN_OR_RETURN(grammar::Automaton automaton,
                   grammar::BuildAutomaton(
                       size_t{0}, step, [&](size_t matched) { return matched == size; }, budget));
  return Expression::Matching(std::move(automaton));
}

absl::StatusOr<Expression> Reasoning(const ForcedCalls& calls, grammar::Budget& budget) {
  if (calls.formats.reasoning == ReasoningFormat::kNone) {
    return Expression::Empty();
  }
  const ReasoningTags tags = TagsOf(calls.formats.reasoning);
  ASSIGN_OR_RETURN(Expression text, TextUntil(tags.end, budget));
  Expression line_breaks = Expression::Repeat(Expression::Literal("\n"), 0, 2);
  if (calls.begins_in_reasoning) {
    return Expression::Sequence({std::move(text), std::move(line_breaks)});
  }
  return Expression::Optional(
      Expression::Sequence({Expression::Literal(tags.begin), std::move(text), std::move(line_breaks)}));
}

Expression Head(absl::string_view head, const std::string& name) {
  std::vector<Expression> parts;
  for (absl::string_view part : absl::StrSplit(head, "INDEX")) {
    if (!parts.empty()) {
      parts.push_back(Expression::Repeat(Expression::Bytes('0', '9'), 1, 2));
    }
    parts.push_back(Expression::Literal(absl::StrReplaceAll(part, {{"NAME", name}})));
  }
  return Expression::Sequence(std::move(parts));
}

absl::StatusOr<Expression> Arguments(const Json& function, const SchemaCompiler& compile) {
  const Json parameters = function.value("parameters", Json());
  if (parameters.is_null()) {
    return Expression::Literal("{}");
  }
  Json schema = parameters;
  schema["type"] = "object";
  return compile(schema);
}

absl::StatusOr<Expression> Calls(const ForcedCalls& calls, const CallText& text, const SchemaCompiler& compile) {
  std::vector<Expression> alternatives;
  for (size_t i = 0; i < calls.tools.size(); ++i) {
    const Json& function = calls.tools[i]["function"];
    absl::StatusOr<Expression> arguments = Arguments(function, compile);
    if (!arguments.ok()) {
      return Annotate(arguments.status(), absl::StrCat("tools[", i, "].function.parameters"));
    }
    alternatives.push_back(Expression::Sequence(
        {Head(text.head, function["name"].get<std::string>()), *std::move(arguments), Expression::Literal(text.tail)}));
  }
  return Expression::OneOf(std::move(alternatives));
}

}  // namespace

ToolFormat ForcedFormat(ToolFormat format) {
  return format == ToolFormat::kQwen3Coder || format == ToolFormat::kGlm45 ? ToolFormat::kHermes : format;
}

absl::StatusOr<Expression> ForcedCallsExpression(const ForcedCalls& calls, const SchemaCompiler& compile,
                                                 grammar::Budget& budget) {
  const CallText text = TextOf(ForcedFormat(calls.formats.tools));
  ASSIGN_OR_RETURN(Expression reasoning, Reasoning(calls, budget));
  ASSIGN_OR_RETURN(const Expression call, Calls(calls, text, compile));
  std::vector<Expression> parts;
  parts.push_back(std::move(reasoning));
  parts.push_back(Expression::Literal(text.begin));
  parts.push_back(call);
  if (calls.several) {
    parts.push_back(Expression::Repeat(Expression::Sequence({Expression::Literal(text.separator), call}), 0));
  }
  parts.push_back(Expression::Literal(text.end));
  return Expression::Sequence(std::move(parts));
}

}  // namespace tandem::router

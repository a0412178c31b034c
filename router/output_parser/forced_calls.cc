#include "router/output_parser/forced_calls.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "model/grammar/token_table.h"

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

// A marker, written out or as the special token of that name.
Expression Marker(absl::string_view marker) {
  return Expression::OneOf(
      {Expression::Literal(marker), Expression::Literal(grammar::TokenTable::SpecialTokenBytes(marker))});
}

// `text`, in which any of `markers` may stand.
Expression Text(absl::string_view text, const std::vector<std::string>& markers) {
  std::vector<Expression> parts;
  size_t plain = 0;  // where the plain text begins that goes on at i
  for (size_t i = 0; i < text.size();) {
    const auto found = std::find_if(markers.begin(), markers.end(), [&](const std::string& marker) {
      return absl::StartsWith(text.substr(i), marker);
    });
    if (found == markers.end()) {
      ++i;
      continue;
    }
    parts.push_back(Expression::Literal(text.substr(plain, i - plain)));
    parts.push_back(Marker(*found));
    plain = i += found->size();
  }
  parts.push_back(Expression::Literal(text.substr(plain)));
  return Expression::Sequence(std::move(parts));
}

// Any text without `marker`, and then the marker. Algorithm: Knuth, Morris, Pratt; a state is how much of the marker
// ends the text so far.
absl::StatusOr<Expression> TextUntil(absl::string_view marker, grammar::Budget& budget) {
  const auto step = [&](size_t matched, uint8_t byte) -> std::optional<size_t> {
    std::string text(marker.substr(0, matched));
    text.push_back(static_cast<char>(byte));
    size_t keep = text.size();
    while (keep > 0 && marker.substr(0, keep) != absl::string_view(text).substr(text.size() - keep)) --keep;
    // No text has the byte that special tokens begin with.
    return matched == marker.size() || byte == 0xFF ? std::nullopt : std::optional(keep);
  };
  const auto is_whole = [&](size_t matched) { return matched == marker.size(); };
  const auto is_partial = [&](size_t matched) { return matched < marker.size(); };
  ASSIGN_OR_RETURN(grammar::Automaton written, grammar::BuildAutomaton(size_t{0}, step, is_whole, budget));
  ASSIGN_OR_RETURN(grammar::Automaton without, grammar::BuildAutomaton(size_t{0}, step, is_partial, budget));
  return Expression::OneOf(
      {Expression::Matching(std::move(written)),
       Expression::Sequence({Expression::Matching(std::move(without)),
                             Expression::Literal(grammar::TokenTable::SpecialTokenBytes(marker))})});
}

Expression Head(absl::string_view head, const std::string& name, const std::vector<std::string>& markers) {
  std::vector<Expression> parts;
  for (absl::string_view part : absl::StrSplit(head, "INDEX")) {
    if (!parts.empty()) {
      parts.push_back(Expression::Repeat(Expression::Bytes('0', '9'), 1, 2));
    }
    parts.push_back(Text(absl::StrReplaceAll(part, {{"NAME", name}}), markers));
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

absl::StatusOr<Expression> Calls(const ForcedCalls& calls, const CallText& text,
                                 const std::vector<std::string>& markers, const SchemaCompiler& compile) {
  std::vector<Expression> alternatives;
  for (size_t i = 0; i < calls.tools.size(); ++i) {
    const Json& function = calls.tools[i]["function"];
    absl::StatusOr<Expression> arguments = Arguments(function, compile);
    if (!arguments.ok()) {
      return Annotate(arguments.status(), absl::StrCat("tools[", i, "].function.parameters"));
    }
    alternatives.push_back(Expression::Sequence({Head(text.head, function["name"].get<std::string>(), markers),
                                                 *std::move(arguments), Text(text.tail, markers)}));
  }
  return Expression::OneOf(std::move(alternatives));
}

}  // namespace

ToolFormat ForcedFormat(ToolFormat format) {
  return format == ToolFormat::kQwen3Coder || format == ToolFormat::kGlm45 ? ToolFormat::kHermes : format;
}

absl::StatusOr<Expression> ReasoningExpression(ReasoningFormat format, bool begins_inside, grammar::Budget& budget) {
  if (format == ReasoningFormat::kNone) {
    return Expression::Empty();
  }
  const ReasoningTags tags = TagsOf(format);
  ASSIGN_OR_RETURN(Expression text, TextUntil(tags.end, budget));
  Expression line_breaks = Expression::Repeat(Expression::Literal("\n"), 0, 2);
  if (begins_inside) {
    return Expression::Sequence({std::move(text), std::move(line_breaks)});
  }
  return Expression::Optional(Expression::Sequence({Marker(tags.begin), std::move(text), std::move(line_breaks)}));
}

absl::StatusOr<Expression> ForcedCallsExpression(const ForcedCalls& calls, const SchemaCompiler& compile,
                                                 grammar::Budget& budget) {
  const ToolFormat format = ForcedFormat(calls.formats.tools);
  const CallText text = TextOf(format);
  const std::vector<std::string> markers = MarkersOf({.tools = format, .reasoning = ReasoningFormat::kNone});
  ASSIGN_OR_RETURN(Expression reasoning,
                   ReasoningExpression(calls.formats.reasoning, calls.begins_in_reasoning, budget));
  ASSIGN_OR_RETURN(const Expression call, Calls(calls, text, markers, compile));
  std::vector<Expression> parts;
  parts.push_back(std::move(reasoning));
  parts.push_back(Text(text.begin, markers));
  parts.push_back(call);
  if (calls.several) {
    parts.push_back(Expression::Repeat(Expression::Sequence({Text(text.separator, markers), call}), 0));
  }
  parts.push_back(Text(text.end, markers));
  return Expression::Sequence(std::move(parts));
}

}  // namespace tandem::router

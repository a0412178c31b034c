#include "router/output_parser/testing.h"

#include "absl/strings/str_cat.h"

namespace tandem::router {
namespace {

std::string Line(const OutputEvent& event) {
  switch (event.kind) {
    case OutputEvent::Kind::kContent:
      return absl::StrCat("content:", event.text);
    case OutputEvent::Kind::kReasoning:
      return absl::StrCat("reasoning:", event.text);
    case OutputEvent::Kind::kToolCall:
      return absl::StrCat("call:", event.tool_index, " ", event.id, " ", event.name);
    case OutputEvent::Kind::kArguments:
      return absl::StrCat("arguments:", event.tool_index, " ", event.text);
  }
  return "";
}

}  // namespace

OutputParser MakeParser(const ParserCase& options) {
  return OutputParser({.formats = options.formats,
                       .schemas = ToolSchemas(options.tools),
                       .begins_in_reasoning = options.begins_in_reasoning,
                       .make_id = [next = 0](bool) mutable { return absl::StrCat("id", next++); }});
}

std::vector<std::string> Parse(const ParserCase& options, const std::vector<std::string>& pieces) {
  OutputParser parser = MakeParser(options);
  OutputEvents joined;
  const auto take = [&](OutputEvents& events) {
    for (OutputEvent& event : events.Take()) {
      if (event.kind == OutputEvent::Kind::kToolCall) {
        joined.AddToolCall(event.tool_index, event.id, event.name);
      } else {
        joined.AddText(event.kind, event.text, event.tool_index);
      }
    }
  };
  for (const std::string& piece : pieces) {
    OutputEvents events;
    parser.Push(piece, events);
    take(events);
  }
  OutputEvents last;
  parser.Finish(last);
  take(last);
  std::vector<std::string> lines;
  for (const OutputEvent& event : joined.list()) {
    lines.push_back(Line(event));
  }
  return lines;
}

std::vector<std::string> Parse(ToolFormat tools, const std::string& text) {
  return Parse({.formats = {.tools = tools}, .tools = nullptr}, {text});
}

}  // namespace tandem::router

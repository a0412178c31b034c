// Turns the text of one answer, as it is generated, into content, reasoning and tool calls.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "router/output_parser/output_event.h"
#include "router/output_parser/reasoning_parser.h"
#include "router/output_parser/tool_call_parser.h"

namespace tandem::router {

// Which formats a model writes.
struct OutputFormats {
  ToolFormat tools = ToolFormat::kNone;
  ReasoningFormat reasoning = ReasoningFormat::kNone;
};

// What the text of a chat template shows of a model's formats; kNone where it shows none.
OutputFormats DetectOutputFormats(absl::string_view chat_template);

// Whether a prompt of which this is the end leaves the model inside its reasoning.
bool OpensReasoning(ReasoningFormat format, absl::string_view prompt_end);

// Tokens that the parsers of these formats need to see in the text, although they may be special tokens.
std::vector<std::string> MarkersOf(const OutputFormats& formats);

struct OutputParserOptions {
  OutputFormats formats;             // tools: kNone when the request allows no calls
  ToolSchemas schemas;               // the request's tools
  bool begins_in_reasoning = false;  // the prompt ends behind the opening tag
  bool include_reasoning = true;     // else it is left out
  bool parallel_tool_calls = true;   // else the calls behind the first are left out
  CallIdMaker make_id;               // empty: random "call_…"
};

// The events depend on the whole text only, not on how it was cut; no text is lost, but for markers and the white space
// next to them. Not thread-safe.
class OutputParser {
 public:
  explicit OutputParser(OutputParserOptions options);

  void Push(absl::string_view text, OutputEvents& out);
  // The end of the answer.
  void Finish(OutputEvents& out);

  // Whether what comes next would be reasoning.
  bool in_reasoning() const { return reasoning_.has_value() && reasoning_->in_reasoning(); }
  bool has_tool_calls() const { return tools_.has_value() && tools_->has_calls(); }

 private:
  void PushAnswer(absl::string_view text, OutputEvents& out);
  OutputEvents& ReasoningEvents(OutputEvents& out);

  const bool include_reasoning_;
  std::optional<ReasoningParser> reasoning_;
  std::optional<ToolCallParser> tools_;
  OutputEvents left_out_;
};

}  // namespace tandem::router

#include "router/output_parser/output_parser.h"

#include <utility>

#include "absl/random/random.h"
#include "absl/strings/match.h"

namespace tandem::router {
namespace {

std::string RandomCallId(bool short_id) {
  constexpr absl::string_view kAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  thread_local absl::BitGen random;
  std::string id = short_id ? "" : "call_";
  const size_t length = short_id ? 9 : 29;
  while (id.size() < length) {
    id.push_back(kAlphabet[absl::Uniform<size_t>(random, 0, kAlphabet.size())]);
  }
  return id;
}

ToolFormat DetectToolFormat(absl::string_view text) {
  const auto has = [text](absl::string_view part) { return absl::StrContains(text, part); };
  if (has("<｜tool▁call▁begin｜>")) {
    return has("```json") ? ToolFormat::kDeepSeekV3 : ToolFormat::kDeepSeekV31;
  }
  if (has("<|tool_call_begin|>")) return ToolFormat::kKimiK2;
  if (has("[TOOL_CALLS]")) return ToolFormat::kMistral;
  if (has("<tool_call>")) {
    if (has("<arg_key>")) return ToolFormat::kGlm45;
    if (has("<function=")) return ToolFormat::kQwen3Coder;
    if (has("{\"name\"") || has("{\\\"name\\\"") || has("{\\'name\\'")) return ToolFormat::kHermes;
  }
  if (has("<|start_header_id|>") && has("\"parameters\":")) return ToolFormat::kLlama3Json;
  return ToolFormat::kNone;
}

// Models that call tools in the middle of their reasoning, without closing it.
std::vector<absl::string_view> Interruptions(ToolFormat tools) {
  return tools == ToolFormat::kKimiK2 ? SyntaxOf(tools).section : std::vector<absl::string_view>();
}

}  // namespace

OutputFormats DetectOutputFormats(absl::string_view chat_template) {
  OutputFormats formats;
  formats.tools = DetectToolFormat(chat_template);
  if (absl::StrContains(chat_template, "</think>")) {
    formats.reasoning = ReasoningFormat::kThink;
  } else if (absl::StrContains(chat_template, "[/THINK]")) {
    formats.reasoning = ReasoningFormat::kMistral;
  }
  return formats;
}

std::vector<std::string> MarkersOf(const OutputFormats& formats) {
  std::vector<std::string> markers;
  if (formats.tools != ToolFormat::kNone) {
    const ToolSyntax& syntax = SyntaxOf(formats.tools);
    for (const auto* list : {&syntax.opening, &syntax.section, &syntax.closing, &syntax.inner}) {
      for (absl::string_view marker : *list) {
        markers.emplace_back(marker);
      }
    }
  }
  if (formats.reasoning != ReasoningFormat::kNone) {
    const ReasoningTags tags = TagsOf(formats.reasoning);
    markers.emplace_back(tags.begin);
    markers.emplace_back(tags.end);
  }
  return markers;
}

bool OpensReasoning(ReasoningFormat format, absl::string_view prompt_end) {
  if (format == ReasoningFormat::kNone) {
    return false;
  }
  const ReasoningTags tags = TagsOf(format);
  const size_t begin = prompt_end.rfind(tags.begin);
  const size_t end = prompt_end.rfind(tags.end);
  return begin != absl::string_view::npos && (end == absl::string_view::npos || end < begin);
}

OutputParser::OutputParser(OutputParserOptions options) : include_reasoning_(options.include_reasoning) {
  const OutputFormats& formats = options.formats;
  if (formats.reasoning != ReasoningFormat::kNone) {
    reasoning_.emplace(formats.reasoning, options.begins_in_reasoning, Interruptions(formats.tools));
  }
  if (formats.tools != ToolFormat::kNone) {
    tools_.emplace(formats.tools, std::move(options.schemas),
                   options.make_id ? std::move(options.make_id) : RandomCallId, !options.parallel_tool_calls);
  }
}

void OutputParser::Push(absl::string_view text, OutputEvents& out) {
  if (!reasoning_.has_value()) {
    PushAnswer(text, out);
    return;
  }
  std::string answer;
  reasoning_->Push(text, ReasoningEvents(out), answer);
  PushAnswer(answer, out);
}

void OutputParser::Finish(OutputEvents& out) {
  if (reasoning_.has_value()) {
    std::string answer;
    reasoning_->Finish(ReasoningEvents(out), answer);
    PushAnswer(answer, out);
  }
  if (tools_.has_value()) {
    tools_->Finish(out);
  }
}

OutputEvents& OutputParser::ReasoningEvents(OutputEvents& out) {
  left_out_.Take();
  return include_reasoning_ ? out : left_out_;
}

void OutputParser::PushAnswer(absl::string_view text, OutputEvents& out) {
  if (tools_.has_value()) {
    tools_->Push(text, out);
  } else {
    out.AddText(OutputEvent::Kind::kContent, text);
  }
}

}  // namespace tandem::router

// Separates a model's reasoning from its answer.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "router/output_parser/marker_finder.h"
#include "router/output_parser/output_event.h"

namespace tandem::router {

enum class ReasoningFormat : uint8_t {
  kNone,
  kThink,    // <think>…</think>
  kMistral,  // [THINK]…[/THINK]
};

// "think", …; "none".
absl::string_view ReasoningFormatName(ReasoningFormat format);
std::optional<ReasoningFormat> ReasoningFormatByName(absl::string_view name);
std::vector<std::string> ReasoningFormatNames();

struct ReasoningTags {
  absl::string_view begin;
  absl::string_view end;
};
// `format` is not kNone.
ReasoningTags TagsOf(ReasoningFormat format);

// Works byte by byte. Reasoning is recognised at the beginning of the answer only. White space next to the tags belongs
// to them. Not thread-safe.
class ReasoningParser {
 public:
  // `begins_inside`: the prompt has the opening tag. `interruptions`: markers that end the reasoning as the closing tag
  // does, but belong to the answer; none is the beginning of another or of a tag.
  ReasoningParser(ReasoningFormat format, bool begins_inside, std::vector<absl::string_view> interruptions);

  // Appends reasoning to `out`, and what belongs to the answer to `answer`. Once the answer has begun, all text does.
  void Push(absl::string_view text, OutputEvents& out, std::string& answer);
  void Finish(OutputEvents& out, std::string& answer);

  bool in_reasoning() const { return place_ == Place::kReasoning; }

 private:
  enum class Place { kStart, kReasoning, kAfterReasoning, kAnswer };
  enum Marker { kBeginTag, kEndTag };  // further ones interrupt

  void PushByte(char c, OutputEvents& out, std::string& answer);
  void AddPlain(char c, OutputEvents& out, std::string& answer);
  void OnMarker(int marker, OutputEvents& out, std::string& answer);

  MarkerFinder finder_;
  Place place_;
  bool reasoning_empty_ = true;
  std::string space_;  // white space that a tag would swallow
};

}  // namespace tandem::router

// What an answer is made of.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem::router {

struct OutputEvent {
  enum class Kind : uint8_t {
    kContent,    // text
    kReasoning,  // text
    kToolCall,   // a call begins: tool_index, id, name
    kArguments,  // text: more of the arguments of call tool_index
  };
  Kind kind = Kind::kContent;
  std::string text;
  int32_t tool_index = 0;  // counts the calls of one answer from 0
  std::string id;
  std::string name;

  friend bool operator==(const OutputEvent&, const OutputEvent&) = default;
};

// Events in order. Neighbouring pieces of one text become one event.
class OutputEvents {
 public:
  void AddText(OutputEvent::Kind kind, absl::string_view text, int32_t tool_index = 0) {
    if (text.empty()) return;
    if (events_.empty() || events_.back().kind != kind || events_.back().tool_index != tool_index) {
      events_.push_back({.kind = kind, .text = "", .tool_index = tool_index, .id = "", .name = ""});
    }
    events_.back().text.append(text.data(), text.size());
  }

  void AddToolCall(int32_t tool_index, std::string id, std::string name) {
    events_.push_back({.kind = OutputEvent::Kind::kToolCall,
                       .text = "",
                       .tool_index = tool_index,
                       .id = std::move(id),
                       .name = std::move(name)});
  }

  const std::vector<OutputEvent>& list() const { return events_; }
  std::vector<OutputEvent> Take() { return std::exchange(events_, {}); }

 private:
  std::vector<OutputEvent> events_;
};

}  // namespace tandem::router

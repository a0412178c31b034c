// Calls that give every argument between tags of its own, as plain text: Qwen3-Coder's and GLM's formats.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "router/output_parser/call_reader.h"
#include "router/output_parser/marker_finder.h"
#include "router/output_parser/tool_schemas.h"

namespace tandem::router {

// The tags of a format. White space between tags does not matter.
struct CallTags {
  absl::string_view name_begin;  // empty: the name comes at once
  absl::string_view name_end;    // empty: a line break, or the next tag
  absl::string_view key_begin;
  absl::string_view key_end;
  absl::string_view value_begin;  // empty: the value comes at once
  absl::string_view value_end;
  absl::string_view end;            // of the call
  bool value_on_own_lines = false;  // a line break at either end does not belong to the value
};

// Arguments go out as JSON: of type string as a string, byte by byte; others as they are if they are JSON, and as a
// string if not.
class TaggedCallReader final : public CallReader {
 public:
  // `tags` and `schemas` must outlive the reader.
  TaggedCallReader(const CallTags& tags, const ToolSchemas& schemas) : tags_(tags), schemas_(schemas) {}

  Step Push(char c, CallSink& sink) override;

 private:
  enum class Place { kNameBegin, kName, kBetween, kKey, kValueBegin, kValue };

  static constexpr size_t kMaxNameBytes = 256;

  Step ReadName(char c);
  Step ReadBetween(char c, CallSink& sink);
  Step ReadKey(char c, CallSink& sink);
  void ReadValue(char c, CallSink& sink);
  void AddValue(absl::string_view text, CallSink& sink);
  void FinishValue(CallSink& sink);
  Step Unexpected(CallSink& sink);
  void Begin(CallSink& sink);

  const CallTags& tags_;
  const ToolSchemas& schemas_;
  Place place_ = Place::kNameBegin;
  std::string text_;  // of the tag, name, key or value that is being read
  std::string name_;
  bool begun_ = false;
  bool first_argument_ = true;

  std::optional<MarkerFinder> value_end_;
  bool is_string_ = false;        // the value streams
  bool value_empty_ = true;       // nothing of it was seen yet
  bool line_break_held_ = false;  // which may be the last before the end
};

}  // namespace tandem::router

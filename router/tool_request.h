// What a chat request says about tools.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "router/field_reader.h"

namespace tandem::router {

enum class ToolChoice : uint8_t {
  kNone,      // no calls
  kAuto,      // the model decides
  kRequired,  // one call at least
  kNamed,     // one call, of the tool that is named
};

struct ToolRequest {
  Json tools;  // as in the request: [{"type": "function", "function": {"name", …}}]; null when there are none
  ToolChoice choice = ToolChoice::kNone;
  std::string name;      // for kNamed
  bool parallel = true;  // more than one call is welcome
};

// Reads tools, tool_choice and parallel_tool_calls, and refuses the older functions and function_call. Errors:
// INVALID_ARGUMENT naming the field.
absl::StatusOr<ToolRequest> ReadToolRequest(FieldReader& fields);

}  // namespace tandem::router

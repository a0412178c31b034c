// The fields of a request about what its answers look like: tools, reasoning, structured output.
#pragma once

#include "absl/status/status.h"
#include "router/field_reader.h"
#include "router/request_parser.h"

namespace tandem::router {

// Puts the tools into `prompt`, unless they must not be called, and says in `out` how the answers are constrained and
// taken apart. Forced tool calls come before a structured output, which is about text. Errors: INVALID_ARGUMENT naming
// the field, UNIMPLEMENTED where the server lacks what is needed.
absl::Status ReadChatOutput(FieldReader& fields, const RequestContext& context, ChatPrompt& prompt,
                            CompletionRequest& out);

// The same for text completions, whose answers are text alone.
absl::Status ReadTextOutput(FieldReader& fields, const RequestContext& context, CompletionRequest& out);

}  // namespace tandem::router

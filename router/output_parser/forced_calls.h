// Grammars of answers that must call tools (tool_choice "required", or a named tool).
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "model/grammar/expression.h"
#include "router/output_parser/output_parser.h"

namespace tandem::router {

// The JSON texts that a schema describes. Errors: INVALID_ARGUMENT naming the keyword that is not supported.
using SchemaCompiler = std::function<absl::StatusOr<grammar::Expression>(const Json& schema)>;

struct ForcedCalls {
  OutputFormats formats;
  bool begins_in_reasoning = false;
  Json tools;            // those that may be called, as in a request; not empty
  bool several = false;  // more than one call may come
};

// The format that forced calls are written in: the model's own; but JSON where that has no JSON arguments, whose
// schemas then could not be kept.
ToolFormat ForcedFormat(ToolFormat format);

// Reasoning with its tags: all of it if the prompt ends within, else maybe none. Empty for kNone.
absl::StatusOr<grammar::Expression> ReasoningExpression(ReasoningFormat format, bool begins_inside,
                                                        grammar::Budget& budget);

// Reasoning, if the model writes any, and then calls that the parser of ForcedFormat reads back: of the tools given,
// with arguments as their schemas say. Nothing may stand before, between or behind the calls. Errors: those of
// `compile`, with the tool's place in the request.
absl::StatusOr<grammar::Expression> ForcedCallsExpression(const ForcedCalls& calls, const SchemaCompiler& compile,
                                                          grammar::Budget& budget);

}  // namespace tandem::router

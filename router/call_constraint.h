// Constraints of chat answers: behind the model's reasoning, if it writes any, come tool calls or a structured output.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "router/output_parser/forced_calls.h"
#include "router/structured_output.h"

namespace tandem::router {

// Errors: INVALID_ARGUMENT naming 'tools', and the keyword of a schema that is not supported.
absl::StatusOr<std::shared_ptr<const TokenConstraint>> ConstrainToCalls(StructuredOutput& output,
                                                                        const ForcedCalls& calls);

// Errors: those of StructuredOutput::Constrain.
absl::StatusOr<std::shared_ptr<const TokenConstraint>> ConstrainAnswer(StructuredOutput& output,
                                                                       const GrammarSpec& spec,
                                                                       ReasoningFormat reasoning,
                                                                       bool begins_in_reasoning);

}  // namespace tandem::router

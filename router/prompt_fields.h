// Prompts that are not conversations, as several endpoints take them.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "router/completion.h"
#include "router/field_reader.h"

namespace tandem::router {

// The field `name`: a string, an array of token ids, or an array of either; at most `max` of them. `add_special_tokens`
// applies to strings. Errors: INVALID_ARGUMENT naming the field.
absl::StatusOr<std::vector<Prompt>> ReadPrompts(FieldReader& fields, absl::string_view name, size_t max,
                                                int32_t vocab_size);

}  // namespace tandem::router

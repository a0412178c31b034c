// Checks and normalises the `messages` of a chat request for the chat template.
#pragma once

#include "absl/status/statusor.h"
#include "router/text_codec.h"

namespace tandem::router {

// Returns the messages with content parts joined to plain text, `reasoning` renamed to `reasoning_content`, and tool
// calls complete (type, arguments) or left out.
// Errors: INVALID_ARGUMENT naming the message and field.
absl::StatusOr<Json> NormaliseMessages(const Json* messages);

// Replaces ids of tool calls by ones of 9 letters and digits, unless they are that already: some templates take no
// others. Equal ids stay equal.
void ShortenToolCallIds(Json& messages);

}  // namespace tandem::router

// Recordings in the Trace Event Format, which https://ui.perfetto.dev and chrome://tracing open.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/trace.h"

namespace tandem::trace {

// One JSON object: complete events ("X", microseconds since the first span) and the names of the rows. Spans of a
// parallel track are dealt to as many rows as overlap at a time: "Wire to worker 0", "Wire to worker 0 (2)" …
// "otherData" has `steps` and `dropped_spans`. `write` takes the text in pieces.
void WriteJson(const Recording& recording, absl::string_view process_name,
               absl::FunctionRef<void(absl::string_view)> write);

std::string ToJson(const Recording& recording, absl::string_view process_name);

}  // namespace tandem::trace

// Constraints for answers that must call tools.
#pragma once

#include "router/request_parser.h"
#include "router/structured_output.h"

namespace tandem::router {

// `structured_output` must outlive what it returns. Its errors name 'tools' and the tool's schema.
CallConstrainer MakeCallConstrainer(StructuredOutput* structured_output);

}  // namespace tandem::router

// The options that Metaspace has as a pre-tokenizer and as a decoder.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/json_fields.h"

namespace tandem::model::tokenizer {

enum class PrependScheme { kAlways, kFirst, kNever };

struct MetaspaceOptions {
  std::string replacement;  // one character, the mark that stands for a space
  PrependScheme prepend = PrependScheme::kAlways;
  bool split = true;
};

// Understands the legacy `add_prefix_space` too. Errors: INVALID_ARGUMENT.
absl::StatusOr<MetaspaceOptions> ParseMetaspace(JsonObject object, absl::string_view where);

}  // namespace tandem::model::tokenizer

// The "normalizer" block of tokenizer.json: rewrites text before pre-tokenization. Immutable and thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/json_fields.h"

namespace tandem::model::tokenizer {

class Normalizer {
 public:
  virtual ~Normalizer() = default;

  // Rewrites `text`, which is and stays valid UTF-8. Errors: RESOURCE_EXHAUSTED from a regex that meets hostile text.
  virtual absl::Status Apply(std::string* text) const = 0;
};

// Reads the block; null for a null or empty one. Errors: INVALID_ARGUMENT, UNIMPLEMENTED naming an unknown type.
absl::StatusOr<std::unique_ptr<Normalizer>> ParseNormalizer(std::optional<JsonValue> value);

}  // namespace tandem::model::tokenizer

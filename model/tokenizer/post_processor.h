// The "post_processor" block of tokenizer.json: the tokens put around an encoded text, such as <s>. Immutable,
// thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer/json_fields.h"

namespace tandem::model::tokenizer {

class PostProcessor {
 public:
  // Errors: INVALID_ARGUMENT, UNIMPLEMENTED naming an unknown type.
  static absl::StatusOr<PostProcessor> FromJson(std::optional<JsonValue> value);

  // What stands before and behind the text when special tokens are added.
  const std::vector<int32_t>& prefix() const { return prefix_; }
  const std::vector<int32_t>& suffix() const { return suffix_; }

 private:
  absl::Status Parse(JsonValue value, int depth);
  absl::Status ParseSequence(JsonObject object, int depth);
  absl::Status ParseTemplate(JsonObject object);
  absl::Status ParseClsSep(JsonObject object);

  std::vector<int32_t> prefix_;
  std::vector<int32_t> suffix_;
};

}  // namespace tandem::model::tokenizer

// Typed access to the fields of tokenizer.json, with errors that name the field. Internal to model/tokenizer.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem::model::tokenizer {

using JsonValue = simdjson::dom::element;
using JsonObject = simdjson::dom::object;
using JsonArray = simdjson::dom::array;

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

// `where` prefixes error messages, for example "pre_tokenizer". Errors: INVALID_ARGUMENT on a wrong type.
absl::StatusOr<JsonObject> AsObject(JsonValue value, absl::string_view where);
absl::StatusOr<JsonArray> AsArray(JsonValue value, absl::string_view where);
absl::StatusOr<absl::string_view> AsString(JsonValue value, absl::string_view where);

// The field, or nullopt where it is absent or null.
std::optional<JsonValue> Field(JsonObject object, absl::string_view key);

absl::StatusOr<JsonArray> ArrayField(JsonObject object, absl::string_view key, absl::string_view where);
absl::StatusOr<absl::string_view> StringField(JsonObject object, absl::string_view key, absl::string_view where);
absl::StatusOr<bool> BoolField(JsonObject object, absl::string_view key, bool fallback, absl::string_view where);

// Refuses blocks nested so deeply that only a hostile file has them.
absl::Status CheckDepth(int depth, absl::string_view where);

// A token id: an integer in [0, kMaxTokenId].
inline constexpr int32_t kMaxTokenId = (1 << 24) - 1;
absl::StatusOr<int32_t> AsTokenId(JsonValue value, absl::string_view where);

// Either {"String": ...} or {"Regex": ...}, as in Split and Replace.
struct PatternField {
  bool is_regex;
  std::string text;
};
absl::StatusOr<PatternField> ParsePatternField(JsonObject object, absl::string_view where);

}  // namespace tandem::model::tokenizer

#include "model/tokenizer/json_fields.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::model::tokenizer {
namespace {

absl::Status WrongType(absl::string_view where, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: ", where, " must be ", expected));
}

std::string Join(absl::string_view where, absl::string_view key) { return absl::StrCat(where, ".", key); }

absl::StatusOr<JsonValue> RequiredField(JsonObject object, absl::string_view key, absl::string_view where) {
  const std::optional<JsonValue> value = Field(object, key);
  if (!value) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: ", Join(where, key), " is missing"));
  }
  return *value;
}

}  // namespace

absl::StatusOr<JsonObject> AsObject(JsonValue value, absl::string_view where) {
  JsonObject object;
  if (value.get(object) != simdjson::SUCCESS) return WrongType(where, "an object");
  return object;
}

absl::StatusOr<JsonArray> AsArray(JsonValue value, absl::string_view where) {
  JsonArray array;
  if (value.get(array) != simdjson::SUCCESS) return WrongType(where, "an array");
  return array;
}

absl::StatusOr<absl::string_view> AsString(JsonValue value, absl::string_view where) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) return WrongType(where, "a string");
  return ToAbsl(text);
}

std::optional<JsonValue> Field(JsonObject object, absl::string_view key) {
  JsonValue value;
  if (object.at_key(ToStd(key)).get(value) != simdjson::SUCCESS || value.is_null()) return std::nullopt;
  return value;
}

absl::StatusOr<JsonArray> ArrayField(JsonObject object, absl::string_view key, absl::string_view where) {
  ASSIGN_OR_RETURN(const JsonValue value, RequiredField(object, key, where));
  return AsArray(value, Join(where, key));
}

absl::StatusOr<absl::string_view> StringField(JsonObject object, absl::string_view key, absl::string_view where) {
  ASSIGN_OR_RETURN(const JsonValue value, RequiredField(object, key, where));
  return AsString(value, Join(where, key));
}

absl::StatusOr<bool> BoolField(JsonObject object, absl::string_view key, bool fallback, absl::string_view where) {
  const std::optional<JsonValue> value = Field(object, key);
  if (!value) return fallback;
  bool flag = false;
  if (value->get(flag) != simdjson::SUCCESS) return WrongType(Join(where, key), "true or false");
  return flag;
}

absl::Status CheckDepth(int depth, absl::string_view where) {
  constexpr int kMaxDepth = 32;
  if (depth <= kMaxDepth) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer.json: ", where, " is nested more than ", kMaxDepth, " deep"));
}

absl::StatusOr<int32_t> AsTokenId(JsonValue value, absl::string_view where) {
  int64_t id = 0;
  if (value.get(id) != simdjson::SUCCESS) return WrongType(where, "an integer token id");
  if (id < 0 || id > kMaxTokenId) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json: ", where, ": token id ", id, " is out of range [0, ", kMaxTokenId, "]"));
  }
  return static_cast<int32_t>(id);
}

absl::StatusOr<PatternField> ParsePatternField(JsonObject object, absl::string_view where) {
  ASSIGN_OR_RETURN(const JsonValue value, RequiredField(object, "pattern", where));
  const std::string path = Join(where, "pattern");
  ASSIGN_OR_RETURN(const JsonObject pattern, AsObject(value, path));
  if (const std::optional<JsonValue> literal = Field(pattern, "String")) {
    ASSIGN_OR_RETURN(const absl::string_view text, AsString(*literal, path));
    return PatternField{false, std::string(text)};
  }
  if (const std::optional<JsonValue> regex = Field(pattern, "Regex")) {
    ASSIGN_OR_RETURN(const absl::string_view text, AsString(*regex, path));
    return PatternField{true, std::string(text)};
  }
  return WrongType(path, "{\"String\": ...} or {\"Regex\": ...}");
}

}  // namespace tandem::model::tokenizer

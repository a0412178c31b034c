// Typed access to the fields of a JSON request. Every refusal names the field and what it allows.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "router/text_codec.h"

namespace tandem::router {

// Parses a request body. Guards against what would be costly further on: nesting deeper than 128, objects with more
// than 1024 members. Errors: INVALID_ARGUMENT with code invalid_json (also for bad UTF-8 and lone surrogates).
absl::StatusOr<Json> ParseJsonObject(absl::string_view body);

struct IntRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

struct NumberRange {
  double min = 0;
  double max = 0;
  bool without_min = false;  // the lower bound itself is not allowed
};

// Characters of a string, that is Unicode code points.
struct LengthRange {
  size_t min = 0;
  size_t max = std::numeric_limits<size_t>::max();
};

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

struct ListLimits {
  size_t max_items = 0;
  size_t max_bytes = 0;  // of one string
};

// Reads leave `out` as it is when the field is absent or null. `object` must outlive the reader.
class FieldReader {
 public:
  // `path` is put before names in messages: "stream_options." for a nested object.
  explicit FieldReader(const Json& object, std::string path = "") : object_(object), path_(std::move(path)) {}

  // Null when absent or null. Counts as a known field.
  const Json* Find(absl::string_view name);

  absl::Status Bool(absl::string_view name, bool& out);
  // Accepts whole numbers only (2.0 is one).
  absl::Status Int(absl::string_view name, IntRange range, int64_t& out);
  absl::Status Int(absl::string_view name, IntRange range, int32_t& out);
  absl::Status Number(absl::string_view name, NumberRange range, float& out);
  absl::Status String(absl::string_view name, LengthRange range, std::string& out);
  // A string or an array of strings, none of them empty.
  absl::Status Strings(absl::string_view name, ListLimits limits, std::vector<std::string>& out);
  absl::Status TokenIds(absl::string_view name, size_t max_items, int32_t vocab_size, std::vector<int32_t>& out);
  // An object, or absent: then null.
  absl::StatusOr<const Json*> Object(absl::string_view name);

  // Fields of the object that nobody asked for.
  std::vector<std::string> Unknown() const;

  // "field 'x' …", with `param` set.
  absl::Status Invalid(absl::string_view name, absl::string_view must) const;

 private:
  const Json& object_;
  const std::string path_;
  absl::flat_hash_set<std::string> known_;
};

}  // namespace tandem::router

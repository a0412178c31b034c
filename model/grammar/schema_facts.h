// What a conjunction of JSON schemas says, keyword by keyword: the schemas' references and "allOf" resolved, their
// constraints merged. Internal to json_schema.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "model/grammar/json_text.h"

namespace tandem::grammar {

// A schema within the document, and where it stands.
struct SchemaPart {
  const Json* schema = nullptr;
  std::string pointer;  // "#/properties/x"
  // Which of its groups of alternatives were replaced by one of them already.
  bool any_of_done = false;
  bool one_of_done = false;
  bool is_flat = false;  // its references and "allOf" are parts of their own already

  auto Key() const { return std::tie(schema, any_of_done, one_of_done, is_flat); }
};

// Schemas that hold together.
using Conjunction = std::vector<SchemaPart>;

enum SchemaType : uint8_t {
  kNullType = 1,
  kBooleanType = 2,
  kIntegerType = 4,
  kNumberType = 8,  // whole ones included
  kStringType = 16,
  kArrayType = 32,
  kObjectType = 64,
  kAllTypes = 127,
};

struct PatternFact {
  std::string pattern;
  bool is_format = false;  // then of the whole string
  std::string pointer;
};

// The object keywords of one schema; "additionalProperties" is about what the same schema does not name.
struct ObjectFacts {
  const Json* properties = nullptr;
  const Json* patterns = nullptr;
  const Json* additional = nullptr;
  std::string pointer;
};

struct ArrayFacts {
  std::vector<SchemaPart> prefix;
  std::optional<SchemaPart> items;
};

struct SchemaFacts {
  bool never = false;
  uint8_t types = kAllTypes;  // as "type" says
  uint8_t implied_types = 0;  // that other keywords are about
  bool unique_items = false;
  std::string unique_items_pointer;

  std::optional<std::vector<const Json*>> values;  // "enum" and "const"

  uint32_t min_length = 0;
  uint32_t max_length = kUnbounded;
  std::vector<PatternFact> patterns;

  NumberBounds bounds;
  std::string bounds_pointer;  // of the schema whose bounds are hardest to satisfy

  std::vector<ObjectFacts> objects;
  std::vector<std::string> required;  // distinct
  std::vector<SchemaPart> property_names;
  uint32_t min_properties = 0;
  uint32_t max_properties = kUnbounded;

  std::vector<ArrayFacts> arrays;
  uint32_t min_items = 0;
  uint32_t max_items = kUnbounded;

  // The first group of alternatives that is not replaced yet: the index of its part in the conjunction that `flat` is.
  struct Group {
    size_t part = 0;
    bool one_of = false;
  };
  std::optional<Group> group;
  Conjunction flat;  // all schemas, without references and "allOf"

  bool IsRequired(const std::string& name) const;
};

// Errors: INVALID_ARGUMENT naming the place of what is wrong or not supported.
absl::StatusOr<SchemaFacts> ReadFacts(const Json& document, const Conjunction& conjunction);

// INVALID_ARGUMENT: "schema at #/properties/x/pattern: …".
absl::Status SchemaError(absl::string_view pointer, absl::string_view what);

// A pointer one step further down, escaped.
std::string Below(absl::string_view pointer, absl::string_view key);

// A type by its name, or 0.
uint8_t TypeOfName(absl::string_view name);
// The type of a value; whole numbers are integers.
uint8_t TypeOfValue(const Json& value);

}  // namespace tandem::grammar

#include "model/grammar/schema_facts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "model/grammar/string_formats.h"

namespace tandem::grammar {
namespace {

// Keywords that a language of texts built here cannot express.
constexpr const char* kUnsupported[] = {"not",
                                        "if",
                                        "then",
                                        "else",
                                        "contains",
                                        "minContains",
                                        "maxContains",
                                        "dependentRequired",
                                        "dependencies",
                                        "$dynamicRef",
                                        "$recursiveRef",
                                        "dependentSchemas",
                                        "unevaluatedItems"};

bool IsOneOf(absl::string_view word, std::initializer_list<absl::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

class FactsReader {
 public:
  FactsReader(const Json& document, SchemaFacts& facts) : document_(document), facts_(facts) {}

  absl::Status Read(const SchemaPart& part, int depth = 0) {
    constexpr int kMaxDepth = 100;
    if (depth > kMaxDepth) return SchemaError(part.pointer, "references and allOf are nested too deeply");
    const Json& schema = *part.schema;
    if (schema.is_boolean()) {
      facts_.never = facts_.never || !schema.get<bool>();
      return absl::OkStatus();
    }
    if (!schema.is_object()) return SchemaError(part.pointer, "a schema is an object, true or false");
    const auto is_same = [&](const SchemaPart& other) { return other.Key() == part.Key(); };
    if (std::any_of(facts_.flat.begin(), facts_.flat.end(), is_same)) return absl::OkStatus();
    facts_.flat.push_back(part);
    RETURN_IF_ERROR(ReadKeywords(part));
    if (part.is_flat) return absl::OkStatus();
    if (const auto reference = schema.find("$ref"); reference != schema.end()) {
      ASSIGN_OR_RETURN(const SchemaPart target, Resolve(*reference, Below(part.pointer, "$ref")));
      RETURN_IF_ERROR(Read(target, depth + 1));
    }
    if (const auto all = schema.find("allOf"); all != schema.end()) {
      RETURN_IF_ERROR(CheckSchemas(*all, Below(part.pointer, "allOf")));
      for (size_t i = 0; i < all->size(); ++i) {
        RETURN_IF_ERROR(Read({&(*all)[i], absl::StrCat(part.pointer, "/allOf/", i)}, depth + 1));
      }
    }
    return absl::OkStatus();
  }

  void FindGroup() {
    for (size_t i = 0; i < facts_.flat.size() && !facts_.group; ++i) {
      const SchemaPart& part = facts_.flat[i];
      const bool any_of = !part.any_of_done && part.schema->contains("anyOf");
      const bool one_of = !part.one_of_done && part.schema->contains("oneOf");
      if (any_of || one_of) facts_.group = SchemaFacts::Group{i, !any_of};
    }
  }

 private:
  absl::StatusOr<SchemaPart> Resolve(const Json& reference, const std::string& pointer) {
    if (!reference.is_string()) return SchemaError(pointer, "must be a string");
    const std::string target = reference.get<std::string>();
    const Json* at = &document_;
    if (target != "#" && !absl::StartsWith(target, "#/")) {
      return SchemaError(pointer, absl::StrCat("only references within the schema (#/…) are supported, not ", target));
    }
    if (target != "#") {
      for (absl::string_view step : absl::StrSplit(absl::string_view(target).substr(2), '/')) {
        const std::string key = absl::StrReplaceAll(step, {{"~1", "/"}, {"~0", "~"}, {"%25", "%"}, {"%20", " "}});
        size_t index = 0;
        if (at->is_object() && at->contains(key)) {
          at = &(*at)[key];
        } else if (at->is_array() && absl::SimpleAtoi(key, &index) && index < at->size()) {
          at = &(*at)[index];
        } else {
          return SchemaError(pointer, absl::StrCat(target, " does not exist"));
        }
      }
    }
    return SchemaPart{at, target};
  }

  static absl::Status CheckSchemas(const Json& list, const std::string& pointer) {
    if (!list.is_array() || list.empty()) return SchemaError(pointer, "must be an array of schemas, not empty");
    return absl::OkStatus();
  }

  absl::Status ReadKeywords(const SchemaPart& part) {
    ObjectFacts object = {.pointer = part.pointer};
    ArrayFacts array;
    for (const auto& [key, value] : part.schema->items()) {
      const std::string pointer = Below(part.pointer, key);
      for (const char* name : kUnsupported) {
        if (key == name) return SchemaError(pointer, "this keyword is not supported");
      }
      RETURN_IF_ERROR(ReadTypeKeyword(key, value, pointer));
      RETURN_IF_ERROR(ReadStringKeyword(key, value, pointer));
      RETURN_IF_ERROR(ReadNumberKeyword(key, value, pointer));
      RETURN_IF_ERROR(ReadObjectKeyword(key, value, pointer, object));
      RETURN_IF_ERROR(ReadArrayKeyword(key, value, pointer, array));
      if (key == "anyOf" || key == "oneOf") {
        RETURN_IF_ERROR(CheckSchemas(value, pointer));
      }
    }
    RETURN_IF_ERROR(ReadExclusiveFlags(part));
    if (object.properties != nullptr || object.patterns != nullptr || object.additional != nullptr) {
      facts_.implied_types |= kObjectType;
      facts_.objects.push_back(std::move(object));
    }
    if (!array.prefix.empty() || array.items) facts_.arrays.push_back(std::move(array));
    return absl::OkStatus();
  }

  absl::Status ReadTypeKeyword(const std::string& key, const Json& value, const std::string& pointer) {
    if (key == "type") {
      uint8_t types = 0;
      const auto add = [&](const Json& name) {
        const uint8_t type = name.is_string() ? TypeOfName(name.get<std::string>()) : 0;
        types |= type;
        return type != 0;
      };
      bool valid = !value.is_array() ? add(value) : !value.empty();
      for (size_t i = 0; value.is_array() && i < value.size(); ++i) valid = add(value[i]) && valid;
      if (!valid) return SchemaError(pointer, "must be a type's name, or an array of them");
      RestrictTypes(types);
    } else if (key == "enum") {
      if (!value.is_array() || value.empty()) return SchemaError(pointer, "must be an array, not empty");
      std::vector<const Json*> values;
      for (const Json& entry : value) values.push_back(&entry);
      RestrictValues(std::move(values));
    } else if (key == "const") {
      RestrictValues({&value});
    }
    return absl::OkStatus();
  }

  // "nullable" belongs to the "type" beside it.
  void RestrictTypes(uint8_t types) {
    const Json& schema = *facts_.flat.back().schema;
    const auto nullable = schema.find("nullable");
    if (nullable != schema.end() && *nullable == true) types |= kNullType;
    if ((types & kNumberType) != 0) types |= kIntegerType;
    facts_.types &= types;
  }

  void RestrictValues(std::vector<const Json*> values) {
    if (facts_.values) {
      const std::vector<const Json*> other = *facts_.values;
      values.erase(std::remove_if(values.begin(), values.end(),
                                  [&](const Json* value) {
                                    return std::none_of(other.begin(), other.end(),
                                                        [&](const Json* found) { return *found == *value; });
                                  }),
                   values.end());
    }
    facts_.values = std::move(values);
  }

  absl::Status ReadCount(const Json& value, const std::string& pointer, uint32_t& out) {
    constexpr uint32_t kMaxCount = 1'000'000'000;
    const bool whole =
        value.is_number() && value.get<double>() >= 0 && std::floor(value.get<double>()) == value.get<double>();
    if (!whole) return SchemaError(pointer, "must be a whole number, not negative");
    out = value.get<double>() > kMaxCount ? kMaxCount : static_cast<uint32_t>(value.get<double>());
    return absl::OkStatus();
  }

  absl::Status ReadMin(const Json& value, const std::string& pointer, uint32_t& min) {
    uint32_t count = 0;
    RETURN_IF_ERROR(ReadCount(value, pointer, count));
    min = std::max(min, count);
    return absl::OkStatus();
  }

  absl::Status ReadMax(const Json& value, const std::string& pointer, uint32_t& max) {
    uint32_t count = 0;
    RETURN_IF_ERROR(ReadCount(value, pointer, count));
    max = std::min(max, count);
    return absl::OkStatus();
  }

  absl::Status ReadStringKeyword(const std::string& key, const Json& value, const std::string& pointer) {
    if (!IsOneOf(key, {"minLength", "maxLength", "pattern", "format"})) return absl::OkStatus();
    if (key == "minLength") {
      RETURN_IF_ERROR(ReadMin(value, pointer, facts_.min_length));
    } else if (key == "maxLength") {
      RETURN_IF_ERROR(ReadMax(value, pointer, facts_.max_length));
    } else if (!value.is_string()) {
      return SchemaError(pointer, "must be a string");
    } else if (key == "pattern") {
      facts_.patterns.push_back({value.get<std::string>(), false, pointer});
    } else {
      const char* pattern = FormatPattern(value.get<std::string>());
      if (pattern == nullptr) return absl::OkStatus();  // an annotation, such as "int32"
      facts_.patterns.push_back({pattern, true, pointer});
    }
    facts_.implied_types |= kStringType;
    return absl::OkStatus();
  }

  absl::Status ReadNumberKeyword(const std::string& key, const Json& value, const std::string& pointer) {
    NumberBounds& bounds = facts_.bounds;
    if (key == "minimum" || key == "exclusiveMinimum") {
      if (key == "exclusiveMinimum" && value.is_boolean()) return absl::OkStatus();  // see ReadExclusiveFlags
      ASSIGN_OR_RETURN(const Decimal bound, ReadBound(value, pointer));
      RestrictMin(bound, key == "exclusiveMinimum");
    } else if (key == "maximum" || key == "exclusiveMaximum") {
      if (key == "exclusiveMaximum" && value.is_boolean()) return absl::OkStatus();
      ASSIGN_OR_RETURN(const Decimal bound, ReadBound(value, pointer));
      RestrictMax(bound, key == "exclusiveMaximum");
    } else if (key == "multipleOf") {
      const bool whole = value.is_number() && value.get<double>() >= 1 && value.get<double>() <= 1000 &&
                         std::floor(value.get<double>()) == value.get<double>();
      if (!whole) return SchemaError(pointer, "only whole numbers from 1 to 1000 are supported");
      bounds.multiple_of = std::lcm(bounds.multiple_of, static_cast<uint32_t>(value.get<double>()));
      if (bounds.multiple_of > 1000) return SchemaError(pointer, "together with the others, the multiple is too large");
      if (bounds.multiple_of == 1) facts_.types &= static_cast<uint8_t>(~kNumberType);
    } else {
      return absl::OkStatus();
    }
    facts_.bounds_pointer = pointer;
    facts_.implied_types |= kNumberType | kIntegerType;
    return absl::OkStatus();
  }

  static absl::StatusOr<Decimal> ReadBound(const Json& value, const std::string& pointer) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) return SchemaError(pointer, "must be a number");
    if (value.is_number_unsigned()) return Decimal::FromUint(value.get<uint64_t>());
    if (value.is_number_integer()) return Decimal::FromInt(value.get<int64_t>());
    return Decimal::FromDouble(value.get<double>());
  }

  void RestrictMin(const Decimal& bound, bool exclusive) {
    NumberBounds& bounds = facts_.bounds;
    if (bounds.min && bound < *bounds.min) return;
    bounds.min_exclusive = exclusive || (bounds.min && bound == *bounds.min && bounds.min_exclusive);
    bounds.min = bound;
  }

  void RestrictMax(const Decimal& bound, bool exclusive) {
    NumberBounds& bounds = facts_.bounds;
    if (bounds.max && *bounds.max < bound) return;
    bounds.max_exclusive = exclusive || (bounds.max && bound == *bounds.max && bounds.max_exclusive);
    bounds.max = bound;
  }

  // Draft 4 wrote {"minimum": 1, "exclusiveMinimum": true}.
  absl::Status ReadExclusiveFlags(const SchemaPart& part) {
    const Json& schema = *part.schema;
    for (const char* side : {"Minimum", "Maximum"}) {
      const auto flag = schema.find(absl::StrCat("exclusive", side));
      if (flag == schema.end() || !flag->is_boolean() || !flag->get<bool>()) continue;
      const std::string name = side[1] == 'i' ? "minimum" : "maximum";
      const auto bound = schema.find(name);
      if (bound == schema.end()) continue;
      ASSIGN_OR_RETURN(const Decimal value, ReadBound(*bound, Below(part.pointer, name)));
      if (side[1] == 'i') {
        RestrictMin(value, true);
      } else {
        RestrictMax(value, true);
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadObjectKeyword(const std::string& key, const Json& value, const std::string& pointer,
                                 ObjectFacts& object) {
    if (key == "properties" || key == "patternProperties") {
      if (!value.is_object()) return SchemaError(pointer, "must be an object of schemas");
      (key == "properties" ? object.properties : object.patterns) = &value;
    } else if (key == "additionalProperties" || (key == "unevaluatedProperties" && object.additional == nullptr)) {
      object.additional = &value;
    } else if (key == "required") {
      if (value.is_boolean()) return absl::OkStatus();  // draft 3, on a property
      if (!value.is_array()) return SchemaError(pointer, "must be an array of names");
      for (const Json& name : value) {
        if (!name.is_string()) return SchemaError(pointer, "must be an array of names");
        if (!facts_.IsRequired(name.get<std::string>())) facts_.required.push_back(name.get<std::string>());
      }
    } else if (key == "propertyNames") {
      facts_.property_names.push_back({&value, pointer});
    } else if (key == "minProperties") {
      RETURN_IF_ERROR(ReadMin(value, pointer, facts_.min_properties));
    } else if (key == "maxProperties") {
      RETURN_IF_ERROR(ReadMax(value, pointer, facts_.max_properties));
    } else {
      return absl::OkStatus();
    }
    facts_.implied_types |= kObjectType;
    return absl::OkStatus();
  }

  absl::Status ReadArrayKeyword(const std::string& key, const Json& value, const std::string& pointer,
                                ArrayFacts& array) {
    if (key == "prefixItems" || (key == "items" && value.is_array())) {
      RETURN_IF_ERROR(CheckSchemas(value, pointer));
      for (size_t i = 0; i < value.size(); ++i) array.prefix.push_back({&value[i], absl::StrCat(pointer, "/", i)});
    } else if (key == "items" || key == "additionalItems") {
      const Json& schema = *facts_.flat.back().schema;
      const auto items = schema.find("items");
      const bool has_list = items != schema.end() && items->is_array();
      if (key == "additionalItems" && !has_list) return absl::OkStatus();  // without meaning then
      array.items = SchemaPart{&value, pointer};
    } else if (key == "minItems") {
      RETURN_IF_ERROR(ReadMin(value, pointer, facts_.min_items));
    } else if (key == "maxItems") {
      RETURN_IF_ERROR(ReadMax(value, pointer, facts_.max_items));
    } else if (key == "uniqueItems") {
      if (value == true) {
        facts_.unique_items = true;
        facts_.unique_items_pointer = pointer;
      }
    } else {
      return absl::OkStatus();
    }
    facts_.implied_types |= kArrayType;
    return absl::OkStatus();
  }

  const Json& document_;
  SchemaFacts& facts_;
};

}  // namespace

bool SchemaFacts::IsRequired(const std::string& name) const {
  return std::find(required.begin(), required.end(), name) != required.end();
}

absl::StatusOr<SchemaFacts> ReadFacts(const Json& document, const Conjunction& conjunction) {
  SchemaFacts facts;
  FactsReader reader(document, facts);
  for (const SchemaPart& part : conjunction) {
    RETURN_IF_ERROR(reader.Read(part));
  }
  reader.FindGroup();
  return facts;
}

absl::Status SchemaError(absl::string_view pointer, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("JSON schema, at ", pointer, ": ", what));
}

std::string Below(absl::string_view pointer, absl::string_view key) {
  return absl::StrCat(pointer, "/", absl::StrReplaceAll(key, {{"~", "~0"}, {"/", "~1"}}));
}

uint8_t TypeOfName(absl::string_view name) {
  constexpr std::pair<absl::string_view, uint8_t> kTypes[] = {
      {"null", kNullType},     {"boolean", kBooleanType}, {"integer", kIntegerType}, {"number", kNumberType},
      {"string", kStringType}, {"array", kArrayType},     {"object", kObjectType},
  };
  for (const auto& [known, type] : kTypes) {
    if (known == name) return type;
  }
  return 0;
}

uint8_t TypeOfValue(const Json& value) {
  if (value.is_null()) return kNullType;
  if (value.is_boolean()) return kBooleanType;
  if (value.is_string()) return kStringType;
  if (value.is_array()) return kArrayType;
  if (value.is_object()) return kObjectType;
  const double number = value.get<double>();
  return std::floor(number) == number ? kIntegerType : kNumberType;
}

}  // namespace tandem::grammar

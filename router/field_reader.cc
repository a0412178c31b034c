#include "router/field_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

constexpr size_t kMaxDepth = 128;
constexpr size_t kMaxMembers = 1024;

absl::Status InvalidJson(absl::string_view message) {
  return WithApiCode(absl::InvalidArgumentError(absl::StrCat("the body is not valid JSON: ", message)), "invalid_json");
}

// One look at the brackets and commas before parsing: ordered objects cost quadratic time in their members, and
// everything that walks a parsed document recurses.
absl::Status CheckShape(absl::string_view body) {
  std::vector<size_t> commas;
  bool in_string = false;
  for (size_t i = 0; i < body.size(); ++i) {
    const char c = body[i];
    if (in_string) {
      i += c == '\\';
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (commas.size() == kMaxDepth) {
        return InvalidJson(absl::StrCat("it nests deeper than ", kMaxDepth, " levels"));
      }
      commas.push_back(c == '{' ? 0 : std::numeric_limits<size_t>::max() / 2);
    } else if ((c == '}' || c == ']') && !commas.empty()) {
      commas.pop_back();
    } else if (c == ',' && !commas.empty() && ++commas.back() == kMaxMembers) {
      return InvalidJson(absl::StrCat("an object has more than ", kMaxMembers, " members"));
    }
  }
  return absl::OkStatus();
}

// "[json.exception.parse_error.101] parse error at line 1, column 2: …" without the bracket.
absl::string_view WithoutTag(absl::string_view message) {
  const size_t end = message.find("] ");
  return end == absl::string_view::npos ? message : message.substr(end + 2);
}

}  // namespace

absl::StatusOr<Json> ParseJsonObject(absl::string_view body) {
  RETURN_IF_ERROR(CheckShape(body));
  try {
    Json json = Json::parse(body.begin(), body.end());
    if (!json.is_object()) {
      return InvalidJson(absl::StrCat("it must be an object, but is ", json.type_name()));
    }
    return json;
  } catch (const Json::exception& e) {
    return InvalidJson(WithoutTag(e.what()));
  }
}

absl::Status FieldReader::Invalid(absl::string_view name, absl::string_view must) const {
  const std::string param = absl::StrCat(path_, name);
  const auto value = object_.find(std::string(name));
  std::string given;
  if (value != object_.end()) {
    given = value->dump(-1, ' ', true, Json::error_handler_t::replace);
    given = absl::StrCat(", not ", given.size() > 60 ? absl::StrCat(given.substr(0, 60), "…") : given);
  }
  return InvalidField(param, absl::StrCat("'", param, "' must be ", must, given));
}

const Json* FieldReader::Find(absl::string_view name) {
  const auto it = object_.find(*known_.emplace(name).first);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

absl::Status FieldReader::Bool(absl::string_view name, bool& out) {
  const Json* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_boolean()) return Invalid(name, "true or false");
  out = value->get<bool>();
  return absl::OkStatus();
}

absl::Status FieldReader::Int(absl::string_view name, IntRange range, int64_t& out) {
  const Json* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  const std::string must = absl::StrCat("an integer in ", range.min, "..", range.max);
  int64_t number;
  if (value->is_number_unsigned()) {
    const uint64_t wide = value->get<uint64_t>();
    if (wide > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return Invalid(name, must);
    number = static_cast<int64_t>(wide);
  } else if (value->is_number_integer()) {
    number = value->get<int64_t>();
  } else if (value->is_number_float() && std::trunc(value->get<double>()) == value->get<double>() &&
             std::abs(value->get<double>()) < 1e15) {
    number = static_cast<int64_t>(value->get<double>());
  } else {
    return Invalid(name, must);
  }
  if (number < range.min || number > range.max) return Invalid(name, must);
  out = number;
  return absl::OkStatus();
}

absl::Status FieldReader::Int(absl::string_view name, IntRange range, int32_t& out) {
  int64_t wide = out;
  range.min = std::max<int64_t>(range.min, std::numeric_limits<int32_t>::min());
  range.max = std::min<int64_t>(range.max, std::numeric_limits<int32_t>::max());
  RETURN_IF_ERROR(Int(name, range, wide));
  out = static_cast<int32_t>(wide);
  return absl::OkStatus();
}

absl::Status FieldReader::Number(absl::string_view name, NumberRange range, float& out) {
  const Json* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  const bool is_number = value->is_number();
  const double number = is_number ? value->get<double>() : 0;
  const bool too_small = range.without_min ? number <= range.min : number < range.min;
  if (!is_number || !std::isfinite(number) || too_small || number > range.max) {
    return Invalid(name, absl::StrCat("a number in ", range.without_min ? "(" : "[", range.min, ", ", range.max, "]"));
  }
  out = static_cast<float>(number);
  return absl::OkStatus();
}

absl::Status FieldReader::String(absl::string_view name, LengthRange range, std::string& out) {
  const Json* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_string()) return Invalid(name, "a string");
  const std::string& text = value->get_ref<const std::string&>();
  const size_t characters =
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
  if (characters < range.min || characters > range.max) {
    return Invalid(name, absl::StrCat("a string of ", range.min, " to ", range.max, " characters"));
  }
  out = text;
  return absl::OkStatus();
}

absl::Status FieldReader::Strings(absl::string_view name, ListLimits limits, std::vector<std::string>& out) {
  const Json* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  const std::string must = absl::StrCat("a string or an array of at most ", limits.max_items,
                                        " strings, each not empty and of at most ", limits.max_bytes, " bytes");
  const Json list = value->is_array() ? *value : Json::array({*value});
  if (list.size() > limits.max_items) return Invalid(name, must);
  std::vector<std::string> strings;
  for (const Json& item : list) {
    if (!item.is_string()) return Invalid(name, must);
    strings.push_back(item.get<std::string>());
    if (strings.back().empty() || strings.back().size() > limits.max_bytes) return Invalid(name, must);
  }
  out = std::move(strings);
  return absl::OkStatus();
}

absl::Status FieldReader::TokenIds(absl::string_view name, size_t max_items, int32_t vocab_size,
                                   std::vector<int32_t>& out) {
  const Json* value = Find(name);
  if (value == nullptr) return absl::OkStatus();
  const std::string must =
      absl::StrCat("an array of ", max_items == kUnlimited ? "" : absl::StrCat("at most ", max_items, " "),
                   "token ids, each an integer in 0..", vocab_size - 1);
  if (!value->is_array() || value->size() > max_items) return Invalid(name, must);
  std::vector<int32_t> ids;
  ids.reserve(value->size());
  for (const Json& item : *value) {
    // As unsigned numbers negative ids are too large as well.
    if (!item.is_number_integer() || item.get<uint64_t>() >= static_cast<uint64_t>(vocab_size))
      return Invalid(name, must);
    ids.push_back(item.get<int32_t>());
  }
  out = std::move(ids);
  return absl::OkStatus();
}

absl::StatusOr<const Json*> FieldReader::Object(absl::string_view name) {
  const Json* value = Find(name);
  if (value != nullptr && !value->is_object()) return Invalid(name, "an object");
  return value;
}

std::vector<std::string> FieldReader::Unknown() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items()) {
    if (!known_.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace tandem::router

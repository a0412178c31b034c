#include "router/grpc_api_struct.h"

#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

constexpr double kLargestInteger = 9007199254740992.0;  // 2^53: up to here a double holds every integer

// The depth of a value is bounded by the one that protobuf parses.
class Converter {
 public:
  explicit Converter(absl::string_view field) : field_(field) {}

  absl::StatusOr<Json> Object(const Struct& value) const {
    std::map<absl::string_view, const Value*> members;
    for (const auto& [name, member] : value.fields()) members.emplace(name, &member);
    Json json = Json::object();
    for (const auto& [name, member] : members) {
      ASSIGN_OR_RETURN(json[std::string(name)], Any(*member));
    }
    return json;
  }

 private:
  absl::StatusOr<Json> Any(const Value& value) const {
    switch (value.kind_case()) {
      case Value::kNullValue:
        return Json();
      case Value::kBoolValue:
        return Json(value.bool_value());
      case Value::kNumberValue:
        return Number(value.number_value());
      case Value::kStringValue:
        return Json(std::string(value.string_value()));
      case Value::kStructValue:
        return Object(value.struct_value());
      case Value::kListValue:
        return List(value.list_value());
      default:
        return Unsupported("a value without a kind");
    }
  }

  absl::StatusOr<Json> Number(double number) const {
    if (!std::isfinite(number)) return Unsupported("a number that is not finite");
    if (number == std::trunc(number) && std::abs(number) <= kLargestInteger) return Json(static_cast<int64_t>(number));
    return Json(number);
  }

  absl::StatusOr<Json> List(const google::protobuf::ListValue& values) const {
    Json json = Json::array();
    for (const Value& value : values.values()) {
      ASSIGN_OR_RETURN(Json element, Any(value));
      json.push_back(std::move(element));
    }
    return json;
  }

  absl::Status Unsupported(absl::string_view what) const {
    return InvalidField(field_, absl::StrCat("'", field_, "' holds ", what, ", which JSON cannot express"));
  }

  const absl::string_view field_;
};

}  // namespace

absl::StatusOr<Json> StructToJson(const Struct& value, absl::string_view field) {
  return Converter(field).Object(value);
}

}  // namespace tandem::router

#include "router/tool_request.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

constexpr size_t kMaxTools = 1024;
constexpr size_t kMaxNameBytes = 64;

bool IsName(const Json& name) {
  if (!name.is_string()) return false;
  const std::string& text = name.get_ref<const std::string&>();
  return !text.empty() && text.size() <= kMaxNameBytes && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  });
}

absl::Status CheckMember(const Json& function, const char* name, bool is_right, const std::string& where,
                         absl::string_view must) {
  const auto found = function.find(name);
  if (found == function.end() || found->is_null() || is_right) {
    return absl::OkStatus();
  }
  return InvalidField(absl::StrCat(where, ".", name), absl::StrCat("'", where, ".", name, "' must be ", must));
}

absl::Status CheckTool(const Json& tool, const std::string& where) {
  if (!tool.is_object() || tool.value("type", Json()) != "function") {
    return InvalidField(where, absl::StrCat("'", where,
                                            "' must be an object with 'type': 'function'; this server knows "
                                            "no other tools"));
  }
  const Json function = tool.value("function", Json());
  const std::string field = where + ".function";
  if (!function.is_object()) {
    return InvalidField(field, absl::StrCat("'", field, "' must be an object with 'name' and 'parameters'"));
  }
  if (!IsName(function.value("name", Json()))) {
    return InvalidField(field + ".name", absl::StrCat("'", field, ".name' must be 1 to ", kMaxNameBytes,
                                                      " letters, digits, underscores, dashes or dots"));
  }
  const Json parameters = function.value("parameters", Json());
  const bool is_schema = parameters.is_object() && (!parameters.contains("type") || parameters["type"] == "object");
  RETURN_IF_ERROR(CheckMember(function, "parameters", is_schema, field, "a JSON schema of type 'object'"));
  RETURN_IF_ERROR(
      CheckMember(function, "description", function.value("description", Json()).is_string(), field, "a string"));
  return CheckMember(function, "strict", function.value("strict", Json()).is_boolean(), field, "true or false");
}

absl::StatusOr<absl::flat_hash_set<std::string>> ReadToolList(FieldReader& fields, ToolRequest& out) {
  absl::flat_hash_set<std::string> names;
  const Json* const tools = fields.Find("tools");
  if (tools == nullptr) {
    return names;
  }
  if (!tools->is_array() || tools->empty() || tools->size() > kMaxTools) {
    return InvalidField("tools", absl::StrCat("'tools' must be an array of 1 to ", kMaxTools,
                                              " tools; leave it out for a chat without tools"));
  }
  for (size_t i = 0; i < tools->size(); ++i) {
    const std::string where = absl::StrCat("tools[", i, "]");
    RETURN_IF_ERROR(CheckTool((*tools)[i], where));
    if (!names.insert((*tools)[i]["function"]["name"].get<std::string>()).second) {
      return InvalidField(where + ".function.name",
                          absl::StrCat("'", where, ".function.name' is the name of two tools"));
    }
  }
  out.tools = *tools;
  return names;
}

absl::Status ReadNamedChoice(FieldReader& fields, const Json& choice, const absl::flat_hash_set<std::string>& names,
                             ToolRequest& out) {
  const Json function = choice.is_object() ? choice.value("function", Json()) : Json();
  const Json name = function.is_object() ? function.value("name", Json()) : Json();
  if (!choice.is_object() || choice.value("type", Json()) != "function" || !name.is_string()) {
    return fields.Invalid("tool_choice",
                          "none, auto, required or {\"type\": \"function\", \"function\": {\"name\": …}}");
  }
  out.choice = ToolChoice::kNamed;
  out.name = name.get<std::string>();
  if (!names.contains(out.name)) {
    return InvalidField("tool_choice", absl::StrCat("'tool_choice' names '", out.name.substr(0, kMaxNameBytes),
                                                    "', which is none of the 'tools'"));
  }
  return absl::OkStatus();
}

absl::Status RefuseLegacy(FieldReader& fields) {
  for (const char* name : {"functions", "function_call"}) {
    const Json* const value = fields.Find(name);
    if (value != nullptr && *value != "none" && *value != "auto") {
      return InvalidField(name, absl::StrCat("'", name, "' is no longer supported; use 'tools' and 'tool_choice'"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ToolRequest> ReadToolRequest(FieldReader& fields) {
  ToolRequest out;
  RETURN_IF_ERROR(RefuseLegacy(fields));
  RETURN_IF_ERROR(fields.Bool("parallel_tool_calls", out.parallel));
  ASSIGN_OR_RETURN(const absl::flat_hash_set<std::string> names, ReadToolList(fields, out));
  const Json* const choice = fields.Find("tool_choice");
  if (choice == nullptr) {
    out.choice = names.empty() ? ToolChoice::kNone : ToolChoice::kAuto;
    return out;
  }
  if (*choice == "none") {
    return out;
  }
  if (names.empty()) {
    return InvalidField("tool_choice", "'tool_choice' is only allowed together with 'tools'");
  }
  if (*choice == "auto" || *choice == "required") {
    out.choice = *choice == "auto" ? ToolChoice::kAuto : ToolChoice::kRequired;
    return out;
  }
  RETURN_IF_ERROR(ReadNamedChoice(fields, *choice, names, out));
  return out;
}

}  // namespace tandem::router

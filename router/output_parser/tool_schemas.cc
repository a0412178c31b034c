#include "router/output_parser/tool_schemas.h"

namespace tandem::router {
namespace {

// Null when `object` is no object or has no such member.
const Json* Member(const Json* object, const char* name) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto found = object->find(name);
  return found == object->end() ? nullptr : &*found;
}

}  // namespace

ToolSchemas::ToolSchemas(const Json& tools) {
  if (!tools.is_array()) return;
  for (const Json& tool : tools) {
    const Json* const function = Member(&tool, "function");
    const Json* const name = Member(function, "name");
    if (name == nullptr || !name->is_string()) continue;
    names_.insert(name->get<std::string>());
    const Json* const properties = Member(Member(function, "parameters"), "properties");
    if (properties == nullptr || !properties->is_object()) continue;
    for (const auto& [key, schema] : properties->items()) {
      if (const Json* type = Member(&schema, "type"); type != nullptr && *type == "string") {
        strings_[name->get<std::string>()].insert(key);
      }
    }
  }
}

bool ToolSchemas::IsString(absl::string_view tool, absl::string_view parameter) const {
  const auto found = strings_.find(tool);
  return found != strings_.end() && found->second.contains(parameter);
}

}  // namespace tandem::router

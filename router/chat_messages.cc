#include "router/chat_messages.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

constexpr absl::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool", "function"};

absl::Status CheckRole(const Json& message, const std::string& where) {
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string() ||
      std::find(std::begin(kRoles), std::end(kRoles), role->get_ref<const std::string&>()) == std::end(kRoles)) {
    return InvalidField(where + ".role",
                        absl::StrCat("'", where, ".role' must be one of system, developer, user, assistant, tool"));
  }
  return absl::OkStatus();
}

// Text parts, joined by line breaks as the field's servers do for templates that want plain strings.
absl::StatusOr<std::string> JoinParts(const Json& parts, const std::string& where) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string part_name = absl::StrCat(where, "[", i, "]");
    const Json& part = parts[i];
    if (!part.is_object() || !part.contains("type") || !part["type"].is_string()) {
      return InvalidField(part_name, absl::StrCat("'", part_name, "' must be an object with a 'type'"));
    }
    const std::string& type = part["type"].get_ref<const std::string&>();
    if (type != "text") {
      return InvalidField(part_name, absl::StrCat("'", part_name, "' is of type '", type.substr(0, 40),
                                                  "', but this model takes text only"));
    }
    if (!part.contains("text") || !part["text"].is_string()) {
      return InvalidField(part_name + ".text", absl::StrCat("'", part_name, ".text' must be a string"));
    }
    absl::StrAppend(&text, i == 0 ? "" : "\n", part["text"].get_ref<const std::string&>());
  }
  return text;
}

absl::Status NormaliseContent(Json& message, const std::string& where) {
  const std::string field = where + ".content";
  const bool is_assistant = message["role"] == "assistant";
  if (!message.contains("content") || message["content"].is_null()) {
    if (!is_assistant) {
      return InvalidField(field, absl::StrCat("'", field, "' must be a string or an array of text parts"));
    }
    message["content"] = nullptr;
    return absl::OkStatus();
  }
  Json& content = message["content"];
  if (content.is_array()) {
    ASSIGN_OR_RETURN(std::string text, JoinParts(content, field));
    content = std::move(text);
  }
  if (!content.is_string()) {
    return InvalidField(field, absl::StrCat("'", field, "' must be a string or an array of text parts"));
  }
  return absl::OkStatus();
}

absl::Status NormaliseToolCalls(const Json& message, const std::string& where) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || calls->is_null()) {
    return absl::OkStatus();
  }
  const std::string field = where + ".tool_calls";
  bool valid = calls->is_array();
  for (size_t i = 0; valid && i < calls->size(); ++i) {
    const Json& call = (*calls)[i];
    valid = call.is_object() && call.contains("function") && call["function"].is_object() &&
            call["function"].contains("name") && call["function"]["name"].is_string();
  }
  if (!valid) {
    return InvalidField(
        field, absl::StrCat("'", field, "' must be an array of objects with 'function': {'name', 'arguments'}"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Json> NormaliseMessages(const Json* messages) {
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    return InvalidField("messages", "'messages' must be an array with at least one message");
  }
  Json out = *messages;
  for (size_t i = 0; i < out.size(); ++i) {
    const std::string where = absl::StrCat("messages[", i, "]");
    Json& message = out[i];
    if (!message.is_object()) {
      return InvalidField(where, absl::StrCat("'", where, "' must be an object with 'role' and 'content'"));
    }
    RETURN_IF_ERROR(CheckRole(message, where));
    RETURN_IF_ERROR(NormaliseContent(message, where));
    RETURN_IF_ERROR(NormaliseToolCalls(message, where));
    if (message.contains("reasoning") && !message.contains("reasoning_content")) {
      message["reasoning_content"] = message["reasoning"];
      message.erase("reasoning");
    }
  }
  return out;
}

}  // namespace tandem::router

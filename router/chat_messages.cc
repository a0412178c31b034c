#include "router/chat_messages.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
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

// One entry of tool_calls; fills in what templates count on.
bool NormaliseToolCall(Json& call) {
  if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) {
    return false;
  }
  if (!call.contains("type")) {
    call["type"] = "function";
  }
  Json& function = call["function"];  // good until `call` gets another member
  if (!function.contains("name") || !function["name"].is_string()) {
    return false;
  }
  if (!function.contains("arguments") || function["arguments"].is_null()) {
    function["arguments"] = "{}";
  }
  return (function["arguments"].is_string() || function["arguments"].is_object()) && call["type"] == "function" &&
         (!call.contains("id") || call["id"].is_string());
}

// Templates ask whether the field is there: none, null and an empty list are the same.
absl::Status NormaliseToolCalls(Json& message, const std::string& where) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end()) {
    return absl::OkStatus();
  }
  if (calls->is_null() || (calls->is_array() && calls->empty())) {
    message.erase(calls);
    return absl::OkStatus();
  }
  if (!calls->is_array() || !std::all_of(calls->begin(), calls->end(), NormaliseToolCall)) {
    const std::string field = where + ".tool_calls";
    return InvalidField(field, absl::StrCat("'", field,
                                            "' must be an array of objects with 'id', 'type': 'function' and "
                                            "'function': {'name', 'arguments'}"));
  }
  return absl::OkStatus();
}

// 9 letters and digits: `id` itself if it is that, else made of its hash, the same in every process.
Json ShortId(const Json& id) {
  constexpr absl::string_view kAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  if (!id.is_string()) {
    return id;
  }
  const std::string& text = id.get_ref<const std::string&>();
  const auto is_plain = [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); };
  if (text.size() == 9 && std::all_of(text.begin(), text.end(), is_plain)) {
    return id;
  }
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  std::string shortened;
  for (int i = 0; i < 9; ++i, hash /= kAlphabet.size()) {
    shortened.push_back(kAlphabet[hash % kAlphabet.size()]);
  }
  return shortened;
}

absl::Status CheckTexts(const Json& message, const std::string& where) {
  for (const char* name : {"name", "reasoning", "reasoning_content", "tool_call_id"}) {
    const auto value = message.find(name);
    if (value != message.end() && !value->is_null() && !value->is_string()) {
      const std::string field = absl::StrCat(where, ".", name);
      return InvalidField(field, absl::StrCat("'", field, "' must be a string"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void ShortenToolCallIds(Json& messages) {
  for (Json& message : messages) {
    if (message.contains("tool_call_id")) {
      message["tool_call_id"] = ShortId(message["tool_call_id"]);
    }
    if (!message.contains("tool_calls")) continue;
    for (Json& call : message["tool_calls"]) {
      call["id"] = ShortId(call.value("id", Json("")));
    }
  }
}

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
    RETURN_IF_ERROR(CheckTexts(message, where));
    if (message.contains("reasoning") && !message.contains("reasoning_content")) {
      message["reasoning_content"] = message["reasoning"];
      message.erase("reasoning");
    }
  }
  return out;
}

}  // namespace tandem::router

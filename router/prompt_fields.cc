#include "router/prompt_fields.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"

namespace tandem::router {

absl::StatusOr<std::vector<Prompt>> ReadPrompts(FieldReader& fields, absl::string_view name, size_t max,
                                                int32_t vocab_size) {
  const Json* value = fields.Find(name);
  if (value == nullptr) {
    return fields.Invalid(name, "given: a string, an array of token ids, or an array of these");
  }
  bool add_special_tokens = true;
  RETURN_IF_ERROR(fields.Bool("add_special_tokens", add_special_tokens));
  const bool is_list = value->is_array() && !value->empty() && !value->front().is_number();
  const Json list = is_list ? *value : Json::array({*value});
  if (list.size() > max) {
    return InvalidField(name, absl::StrCat("'", name, "' must have at most ", max, " entries, not ", list.size()));
  }
  std::vector<Prompt> prompts;
  for (const Json& item : list) {
    if (item.is_string()) {
      prompts.push_back(TextPrompt{item.get<std::string>(), add_special_tokens});
      continue;
    }
    Json holder = Json::object();
    holder[std::string(name)] = item;
    TokenPrompt tokens;
    if (!item.is_array()) {
      return FieldReader(holder).Invalid(name, "a string, an array of token ids, or an array of these");
    }
    RETURN_IF_ERROR(FieldReader(holder).TokenIds(name, kUnlimited, vocab_size, tokens));
    prompts.push_back(std::move(tokens));
  }
  return prompts;
}

}  // namespace tandem::router

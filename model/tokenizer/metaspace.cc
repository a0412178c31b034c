#include "model/tokenizer/metaspace.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

absl::StatusOr<PrependScheme> ParsePrependScheme(JsonObject object, absl::string_view where) {
  if (!Field(object, "prepend_scheme")) return PrependScheme::kAlways;
  ASSIGN_OR_RETURN(const absl::string_view name, StringField(object, "prepend_scheme", where));
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  return absl::InvalidArgumentError(
      absl::StrCat("tokenizer.json: ", where, ".prepend_scheme \"", name, "\" is none of always, first, never"));
}

}  // namespace

absl::StatusOr<MetaspaceOptions> ParseMetaspace(JsonObject object, absl::string_view where) {
  MetaspaceOptions options;
  ASSIGN_OR_RETURN(const absl::string_view replacement, StringField(object, "replacement", where));
  if (replacement.empty() || Utf8Length(static_cast<unsigned char>(replacement[0])) != replacement.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json: ", where, ".replacement must be one character, not \"", replacement, "\""));
  }
  options.replacement = std::string(replacement);
  ASSIGN_OR_RETURN(options.prepend, ParsePrependScheme(object, where));
  ASSIGN_OR_RETURN(options.split, BoolField(object, "split", true, where));
  ASSIGN_OR_RETURN(const bool add_prefix_space, BoolField(object, "add_prefix_space", true, where));
  if (!add_prefix_space) {
    if (options.prepend != PrependScheme::kNever && Field(object, "prepend_scheme")) {
      return absl::InvalidArgumentError(
          absl::StrCat("tokenizer.json: ", where, ": add_prefix_space false contradicts prepend_scheme"));
    }
    options.prepend = PrependScheme::kNever;
  }
  return options;
}

}  // namespace tandem::model::tokenizer

// The fields of requests that ask for structured output.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"
#include "router/structured_output.h"

namespace tandem::router {
namespace {

using Kind = GrammarSpec::Kind;

constexpr size_t kMaxChoices = 10'000;

// One field that asks for a grammar; `value` has the type its kind needs.
absl::Status CheckSpec(const GrammarSpec& spec, const FieldReader& fields) {
  switch (spec.kind) {
    case Kind::kJsonObject:
      return absl::OkStatus();
    case Kind::kJsonSchema:
      if (spec.value.is_object() || spec.value.is_boolean()) return absl::OkStatus();
      return fields.Invalid(spec.field, "a JSON schema: an object");
    case Kind::kChoice: {
      const bool is_list = spec.value.is_array() && !spec.value.empty() && spec.value.size() <= kMaxChoices;
      const auto is_text = [](const Json& choice) {
        return choice.is_string() && !choice.get_ref<const std::string&>().empty();
      };
      if (is_list && std::all_of(spec.value.begin(), spec.value.end(), is_text)) return absl::OkStatus();
      return fields.Invalid(spec.field, absl::StrCat("an array of 1 to ", kMaxChoices, " strings, none of them empty"));
    }
    case Kind::kRegex:
    case Kind::kGrammar:
      if (spec.value.is_string() && !spec.value.get_ref<const std::string&>().empty()) return absl::OkStatus();
      return fields.Invalid(spec.field, "a string, not empty");
  }
  return absl::OkStatus();
}

// vLLM's clients send schemas as text, too.
absl::StatusOr<Json> SchemaOf(const Json& value, const FieldReader& fields, absl::string_view field) {
  if (!value.is_string()) return value;
  absl::StatusOr<Json> parsed = ParseJsonObject(value.get<std::string>());
  if (!parsed.ok()) return fields.Invalid(field, "a JSON schema, or the text of one");
  return *parsed;
}

class SpecReader {
 public:
  explicit SpecReader(FieldReader& fields) : fields_(fields) {}

  absl::StatusOr<std::optional<GrammarSpec>> Run() {
    RETURN_IF_ERROR(ReadResponseFormat());
    RETURN_IF_ERROR(ReadStructuredOutputs());
    RETURN_IF_ERROR(ReadFlat(fields_, "guided_json", Kind::kJsonSchema, "guided_json"));
    RETURN_IF_ERROR(ReadFlat(fields_, "guided_regex", Kind::kRegex, "guided_regex"));
    RETURN_IF_ERROR(ReadFlat(fields_, "guided_choice", Kind::kChoice, "guided_choice"));
    RETURN_IF_ERROR(ReadFlat(fields_, "guided_grammar", Kind::kGrammar, "guided_grammar"));
    fields_.Find("guided_decoding_backend");  // there is one
    fields_.Find("guided_whitespace_pattern");
    return std::move(spec_);
  }

 private:
  absl::Status Set(GrammarSpec spec) {
    if (spec_) {
      return InvalidField(spec.field, absl::StrCat("'", spec.field, "' cannot be used together with '", spec_->field,
                                                   "': ask for one kind of structured output"));
    }
    RETURN_IF_ERROR(CheckSpec(spec, fields_));
    spec_ = std::move(spec);
    return absl::OkStatus();
  }

  absl::Status ReadFlat(FieldReader& fields, const char* name, Kind kind, const std::string& field) {
    const Json* value = fields.Find(name);
    if (value == nullptr) return absl::OkStatus();
    GrammarSpec spec = {kind, *value, field};
    if (kind == Kind::kJsonSchema) {
      ASSIGN_OR_RETURN(spec.value, SchemaOf(*value, fields_, field));
    }
    return Set(std::move(spec));
  }

  absl::Status ReadResponseFormat() {
    constexpr const char* kField = "response_format";
    ASSIGN_OR_RETURN(const Json* format, fields_.Object(kField));
    if (format == nullptr) return absl::OkStatus();
    const Json type = format->value("type", Json());
    if (type == "text") return absl::OkStatus();
    if (type == "json_object") {
      const auto schema = format->find("schema");
      if (schema == format->end() || schema->is_null()) return Set({Kind::kJsonObject, nullptr, kField});
      return Set({Kind::kJsonSchema, *schema, kField});
    }
    if (type != "json_schema") {
      return InvalidField(kField, "'response_format.type' must be one of text, json_object, json_schema");
    }
    const auto wrapper = format->find("json_schema");
    if (wrapper == format->end() || !wrapper->is_object() || !wrapper->contains("schema")) {
      return InvalidField(kField,
                          "'response_format.json_schema' must be an object with 'name' and 'schema' when 'type' is "
                          "json_schema");
    }
    FieldReader nested(*wrapper, "response_format.json_schema.");
    std::string name;
    bool strict = true;
    RETURN_IF_ERROR(nested.String("name", {}, name));
    RETURN_IF_ERROR(nested.Bool("strict", strict));
    return Set({Kind::kJsonSchema, (*wrapper)["schema"], kField});
  }

  absl::Status ReadStructuredOutputs() {
    ASSIGN_OR_RETURN(const Json* outputs, fields_.Object("structured_outputs"));
    if (outputs == nullptr) return absl::OkStatus();
    FieldReader nested(*outputs, "structured_outputs.");
    constexpr const char* kField = "structured_outputs";
    bool json_object = false;
    RETURN_IF_ERROR(nested.Bool("json_object", json_object));
    if (json_object) {
      RETURN_IF_ERROR(Set({Kind::kJsonObject, nullptr, kField}));
    }
    RETURN_IF_ERROR(ReadFlat(nested, "json", Kind::kJsonSchema, kField));
    RETURN_IF_ERROR(ReadFlat(nested, "regex", Kind::kRegex, kField));
    RETURN_IF_ERROR(ReadFlat(nested, "choice", Kind::kChoice, kField));
    RETURN_IF_ERROR(ReadFlat(nested, "grammar", Kind::kGrammar, kField));
    if (nested.Find("structural_tag") != nullptr) {
      return InvalidField(kField, "'structured_outputs.structural_tag' is not supported");
    }
    if (!spec_)
      return InvalidField(kField, "'structured_outputs' must have one of json, json_object, regex, choice, grammar");
    return absl::OkStatus();
  }

  FieldReader& fields_;
  std::optional<GrammarSpec> spec_;
};

}  // namespace

absl::StatusOr<std::optional<GrammarSpec>> ReadStructuredOutput(FieldReader& fields) {
  return SpecReader(fields).Run();
}

}  // namespace tandem::router

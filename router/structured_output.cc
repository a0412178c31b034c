#include "router/structured_output.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/grammar/grammar_text.h"
#include "model/grammar/matcher.h"
#include "model/grammar/regex.h"
#include "router/api_error.h"

namespace tandem::router {

struct StructuredOutput::Vocabulary {
  Vocabulary(grammar::TokenTable tokens, size_t mask_cache_bytes, std::vector<int32_t> ends)
      : table(std::move(tokens)), masks(mask_cache_bytes), end_tokens(std::move(ends)) {}

  const grammar::TokenTable table;
  grammar::MaskCache masks;
  const std::vector<int32_t> end_tokens;
};

namespace {

using Kind = GrammarSpec::Kind;

constexpr size_t kMaxSpecBytes = size_t{1} << 20;
constexpr size_t kMaxChoices = 10'000;

class GrammarConstraint final : public TokenConstraint {
 public:
  GrammarConstraint(std::shared_ptr<StructuredOutput::Vocabulary> vocabulary,
                    std::shared_ptr<const grammar::Grammar> grammar)
      : vocabulary_(std::move(vocabulary)), matcher_(std::move(grammar)) {}

  absl::Status Accept(int32_t token) override {
    if (IsEnd(token) && matcher_.CanEnd()) return absl::OkStatus();
    const absl::string_view bytes = vocabulary_->table.BytesOf(token);
    if (bytes.empty() || !matcher_.Accept(bytes)) {
      return absl::InvalidArgumentError(absl::StrCat("token ", token, " is not what the grammar allows here"));
    }
    return absl::OkStatus();
  }

  absl::Status FillMask(absl::Span<uint64_t> mask) override {
    const grammar::MaskCache::Mask cached = vocabulary_->masks.Get(matcher_, vocabulary_->table);
    const size_t words = std::min(cached->size(), mask.size());
    std::copy_n(cached->begin(), words, mask.begin());
    std::fill(mask.begin() + words, mask.end(), 0);
    for (const int32_t token : vocabulary_->end_tokens) SetEnd(token, mask);
    if (std::all_of(mask.begin(), mask.end(), [](uint64_t word) { return word == 0; })) {
      return absl::InternalError("structured output: no token of the vocabulary can follow");
    }
    return absl::OkStatus();
  }

  std::unique_ptr<TokenConstraint> Clone() const override { return std::make_unique<GrammarConstraint>(*this); }

 private:
  bool IsEnd(int32_t token) const {
    const std::vector<int32_t>& ends = vocabulary_->end_tokens;
    return std::find(ends.begin(), ends.end(), token) != ends.end();
  }

  void SetEnd(int32_t token, absl::Span<uint64_t> mask) const {
    if (token < 0 || static_cast<size_t>(token) >= mask.size() * 64) return;
    const uint64_t bit = uint64_t{1} << (token % 64);
    mask[token / 64] = matcher_.CanEnd() ? mask[token / 64] | bit : mask[token / 64] & ~bit;
  }

  std::shared_ptr<StructuredOutput::Vocabulary> vocabulary_;
  grammar::Matcher matcher_;
};

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

absl::StatusOr<grammar::Expression> ToExpression(const GrammarSpec& spec, grammar::GrammarBuilder& builder,
                                                 grammar::JsonText& text) {
  switch (spec.kind) {
    case Kind::kJsonObject:
      return text.AnyObject();
    case Kind::kJsonSchema:
      return grammar::JsonSchema(spec.value, builder, text);
    case Kind::kRegex: {
      ASSIGN_OR_RETURN(
          grammar::Automaton automaton,
          grammar::CompileRegex(spec.value.get<std::string>(), grammar::RegexMatch::kWhole, builder.budget()));
      return grammar::Expression::Matching(std::move(automaton));
    }
    case Kind::kChoice: {
      std::vector<grammar::Expression> choices;
      for (const Json& choice : spec.value) choices.push_back(grammar::Expression::Literal(choice.get<std::string>()));
      return grammar::Expression::OneOf(std::move(choices));
    }
    case Kind::kGrammar:
      return grammar::GrammarText(spec.value.get<std::string>(), builder);
  }
  return absl::InternalError("unknown kind of grammar");
}

absl::StatusOr<std::shared_ptr<const grammar::Grammar>> Compile(const StructuredOutput::Compose& compose) {
  grammar::GrammarBuilder builder;
  grammar::JsonText text(&builder);
  ASSIGN_OR_RETURN(const grammar::Expression expression, compose(builder, text));
  return std::move(builder).Build(expression);
}

std::string TextOf(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

absl::StatusOr<std::optional<GrammarSpec>> ReadStructuredOutput(FieldReader& fields) {
  return SpecReader(fields).Run();
}

absl::StatusOr<std::shared_ptr<const grammar::Grammar>> CompileGrammar(const GrammarSpec& spec) {
  if (TextOf(spec.value).size() > kMaxSpecBytes) {
    return InvalidField(spec.field, absl::StrCat("'", spec.field, "' has more than ", kMaxSpecBytes, " bytes"));
  }
  auto grammar = Compile(
      [&](grammar::GrammarBuilder& builder, grammar::JsonText& text) { return ToExpression(spec, builder, text); });
  if (!grammar.ok() && grammar.status().code() == absl::StatusCode::kInvalidArgument) {
    return InvalidField(spec.field, absl::StrCat("'", spec.field, "': ", grammar.status().message()));
  }
  return grammar;
}

grammar::TokenTable MakeTokenTable(const TextCodec& codec, int32_t vocab_size) {
  std::vector<std::string> bytes(static_cast<size_t>(vocab_size));
  for (int32_t token = 0; token < vocab_size; ++token) {
    bytes[token] = codec.TokenBytes(token);
    if (codec.IsSpecial(token)) bytes[token] = grammar::TokenTable::SpecialTokenBytes(bytes[token]);
  }
  return grammar::TokenTable(std::move(bytes));
}

StructuredOutput::StructuredOutput(const TextCodec* codec, int32_t vocab_size, StructuredOutputOptions options)
    : codec_(codec), vocab_size_(vocab_size), options_(std::move(options)) {}

std::shared_ptr<StructuredOutput::Vocabulary> StructuredOutput::SharedVocabulary() {
  absl::MutexLock lock(&vocabulary_mutex_);
  if (vocabulary_ == nullptr) {
    vocabulary_ = std::make_shared<Vocabulary>(MakeTokenTable(*codec_, vocab_size_), options_.mask_cache_bytes,
                                               options_.end_tokens);
  }
  return vocabulary_;
}

StructuredOutput::GrammarPtr StructuredOutput::Find(const std::string& key) {
  absl::MutexLock lock(&mutex_);
  const auto found = index_.find(key);
  if (found == index_.end()) return nullptr;
  grammars_.splice(grammars_.begin(), grammars_, found->second);
  return found->second->second;
}

void StructuredOutput::Keep(const std::string& key, GrammarPtr grammar) {
  absl::MutexLock lock(&mutex_);
  if (index_.contains(key)) return;
  while (!grammars_.empty() && grammars_.size() >= options_.max_grammars) {
    index_.erase(grammars_.back().first);
    grammars_.pop_back();
  }
  grammars_.emplace_front(key, std::move(grammar));
  index_[key] = grammars_.begin();
}

std::shared_ptr<const TokenConstraint> StructuredOutput::Begin(GrammarPtr grammar) {
  return std::make_shared<const GrammarConstraint>(SharedVocabulary(), std::move(grammar));
}

absl::StatusOr<std::shared_ptr<const TokenConstraint>> StructuredOutput::Constrain(const GrammarSpec& spec) {
  const std::string key = absl::StrCat(static_cast<int>(spec.kind), " ", TextOf(spec.value));
  GrammarPtr grammar = Find(key);
  if (grammar == nullptr) {
    ASSIGN_OR_RETURN(grammar, CompileGrammar(spec));
    Keep(key, grammar);
  }
  return Begin(std::move(grammar));
}

absl::StatusOr<std::shared_ptr<const TokenConstraint>> StructuredOutput::Constrain(const std::string& key,
                                                                                   const Compose& compose) {
  const std::string own_key = absl::StrCat("composed ", key);
  GrammarPtr grammar = Find(own_key);
  if (grammar == nullptr) {
    ASSIGN_OR_RETURN(grammar, Compile(compose));
    Keep(own_key, grammar);
  }
  return Begin(std::move(grammar));
}

}  // namespace tandem::router

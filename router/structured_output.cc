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

std::string KeyOf(const GrammarSpec& spec) { return absl::StrCat(static_cast<int>(spec.kind), " ", TextOf(spec.value)); }

// `prefix` may be empty.
absl::StatusOr<std::shared_ptr<const grammar::Grammar>> CompileBehind(const StructuredOutput::Compose& prefix,
                                                                      const GrammarSpec& spec) {
  if (TextOf(spec.value).size() > kMaxSpecBytes) {
    return InvalidField(spec.field, absl::StrCat("'", spec.field, "' has more than ", kMaxSpecBytes, " bytes"));
  }
  auto grammar = Compile([&](grammar::GrammarBuilder& builder,
                             grammar::JsonText& text) -> absl::StatusOr<grammar::Expression> {
    ASSIGN_OR_RETURN(grammar::Expression answer, ToExpression(spec, builder, text));
    if (!prefix) return answer;
    ASSIGN_OR_RETURN(grammar::Expression before, prefix(builder, text));
    return grammar::Expression::Sequence({std::move(before), std::move(answer)});
  });
  if (!grammar.ok() && grammar.status().code() == absl::StatusCode::kInvalidArgument) {
    return InvalidField(spec.field, absl::StrCat("'", spec.field, "': ", grammar.status().message()));
  }
  return grammar;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const grammar::Grammar>> CompileGrammar(const GrammarSpec& spec) {
  return CompileBehind(nullptr, spec);
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
  const std::string key = KeyOf(spec);
  GrammarPtr grammar = Find(key);
  if (grammar == nullptr) {
    ASSIGN_OR_RETURN(grammar, CompileGrammar(spec));
    Keep(key, grammar);
  }
  return Begin(std::move(grammar));
}

absl::StatusOr<std::shared_ptr<const TokenConstraint>> StructuredOutput::ConstrainBehind(const std::string& prefix_key,
                                                                                         const Compose& prefix,
                                                                                         const GrammarSpec& spec) {
  const std::string key = absl::StrCat("behind ", prefix_key, " ", KeyOf(spec));
  GrammarPtr grammar = Find(key);
  if (grammar == nullptr) {
    ASSIGN_OR_RETURN(grammar, CompileBehind(prefix, spec));
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

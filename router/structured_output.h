// Structured output: from the fields of a request to a constraint on its tokens (model/grammar).
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "model/grammar/json_schema.h"
#include "model/grammar/mask_cache.h"
#include "router/field_reader.h"
#include "router/text_codec.h"
#include "router/token_constraint.h"

namespace tandem::router {

// What the whole answer must be.
struct GrammarSpec {
  enum class Kind : uint8_t { kJsonObject, kJsonSchema, kRegex, kChoice, kGrammar };

  Kind kind = Kind::kJsonObject;
  Json value;         // schema, pattern, array of strings, or text of a grammar; null for kJsonObject
  std::string field;  // of the request, for errors
};

// Reads `response_format`, `structured_outputs` and `guided_json`, `guided_regex`, `guided_choice`, `guided_grammar`.
// Nullopt when none of them asks for anything. Errors: INVALID_ARGUMENT naming the field; also for more than one.
absl::StatusOr<std::optional<GrammarSpec>> ReadStructuredOutput(FieldReader& fields);

// Errors: INVALID_ARGUMENT with the reason, and the field as `param`.
absl::StatusOr<std::shared_ptr<const grammar::Grammar>> CompileGrammar(const GrammarSpec& spec);

// The vocabulary for masks. Special tokens match only where a grammar asks for them by name.
grammar::TokenTable MakeTokenTable(const TextCodec& codec, int32_t vocab_size);

struct StructuredOutputOptions {
  size_t max_grammars = 64;  // compiled ones that are kept
  size_t mask_cache_bytes = size_t{64} << 20;
  std::vector<int32_t> end_tokens;  // allowed where the text may end
};

// Makes constraints, and keeps what is costly about them: the vocabulary's tables (made with the first constraint),
// compiled grammars and masks. Thread-safe. Its constraints may outlive it.
class StructuredOutput {
 public:
  // Puts an answer's expression together out of grammars and literals.
  using Compose = std::function<absl::StatusOr<grammar::Expression>(grammar::GrammarBuilder&, grammar::JsonText&)>;

  // `codec` must outlive the service. `vocab_size` is the model's.
  StructuredOutput(const TextCodec* codec, int32_t vocab_size, StructuredOutputOptions options);

  // The initial state of the constraint. Compiles on this thread unless the grammar is known. Errors: those of
  // CompileGrammar.
  absl::StatusOr<std::shared_ptr<const TokenConstraint>> Constrain(const GrammarSpec& spec);

  // What `spec` asks for, behind a text that `prefix` describes; equal keys must stand for equal prefixes.
  absl::StatusOr<std::shared_ptr<const TokenConstraint>> ConstrainBehind(const std::string& prefix_key,
                                                                         const Compose& prefix, const GrammarSpec& spec);

  // The same for a composed grammar; equal keys must stand for equal grammars. Errors: those of `compose`, and
  // INVALID_ARGUMENT as above, without a field.
  absl::StatusOr<std::shared_ptr<const TokenConstraint>> Constrain(const std::string& key, const Compose& compose);

  struct Vocabulary;  // what all constraints share

 private:
  using GrammarPtr = std::shared_ptr<const grammar::Grammar>;
  using Entries = std::list<std::pair<std::string, GrammarPtr>>;  // the last used first

  std::shared_ptr<Vocabulary> SharedVocabulary();
  GrammarPtr Find(const std::string& key);
  void Keep(const std::string& key, GrammarPtr grammar);
  std::shared_ptr<const TokenConstraint> Begin(GrammarPtr grammar);

  const TextCodec* const codec_;
  const int32_t vocab_size_;
  const StructuredOutputOptions options_;
  absl::Mutex vocabulary_mutex_;  // held while the tables are made
  std::shared_ptr<Vocabulary> vocabulary_ ABSL_GUARDED_BY(vocabulary_mutex_);
  absl::Mutex mutex_;
  Entries grammars_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, Entries::iterator> index_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem::router

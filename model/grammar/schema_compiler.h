// From schemas' facts to expressions. Internal to json_schema.h.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "model/grammar/schema_facts.h"

namespace tandem::grammar {

class SchemaCompiler {
 public:
  SchemaCompiler(const Json& document, GrammarBuilder& builder, JsonText& text)
      : document_(document), builder_(builder), text_(text) {}

  // Where recursion through arrays, objects and alternatives is possible, the result is a call of a rule.
  absl::StatusOr<Expression> Compile(const Conjunction& conjunction);

  // Whether no value satisfies both, as far as can be told from types and values.
  absl::StatusOr<bool> AreExclusive(const Conjunction& a, const Conjunction& b);

  // The contents of strings, or nullopt when all of them are allowed.
  absl::StatusOr<std::optional<Automaton>> StringContents(const SchemaFacts& facts);

  // A regular expression as an automaton; compiled once for each.
  absl::StatusOr<const Automaton*> Pattern(const std::string& pattern, bool is_format, const std::string& pointer);

  const Json& document() const { return document_; }
  GrammarBuilder& builder() { return builder_; }
  JsonText& text() { return text_; }

 private:
  using Key = std::vector<std::tuple<const Json*, bool, bool, bool>>;

  absl::StatusOr<Expression> CompileFacts(const SchemaFacts& facts, const std::string& pointer);
  absl::StatusOr<Expression> CompileGroup(const SchemaFacts& facts);
  absl::StatusOr<Expression> CompileValues(const SchemaFacts& facts, const std::string& pointer);
  absl::StatusOr<Expression> CompileType(const SchemaFacts& facts, SchemaType type);
  absl::StatusOr<Expression> CompileString(const SchemaFacts& facts);
  absl::StatusOr<Expression> CompileNumber(const SchemaFacts& facts, bool integer);
  absl::StatusOr<Expression> CompileArray(const SchemaFacts& facts);
  absl::StatusOr<bool> Allows(const SchemaFacts& facts, const Json& value, const std::string& pointer);

  const Json& document_;
  GrammarBuilder& builder_;
  JsonText& text_;
  std::map<Key, RuleId> rules_;
  std::map<std::pair<std::string, bool>, Automaton> patterns_;
  int depth_ = 0;
};

// The texts of an object that satisfies the object keywords of `facts`.
absl::StatusOr<Expression> CompileObject(SchemaCompiler& compiler, const SchemaFacts& facts);

}  // namespace tandem::grammar

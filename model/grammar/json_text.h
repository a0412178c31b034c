// The pieces of JSON texts, compact: at most one space after ',' and ':', so that no output can go on in white space.
// Strings are valid UTF-8 and escape surrogates in pairs only; whatever is matched parses everywhere.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/grammar/grammar.h"
#include "model/grammar/number_automaton.h"

namespace tandem::grammar {

// Objects keep the order of their members: it is the order in which they are generated.
using Json = nlohmann::ordered_json;

// Makes expressions for one builder, which must outlive it, and shares their rules. Not thread-safe.
class JsonText {
 public:
  // How deep arrays and objects nest within "any value": parsers have limits.
  static constexpr int kMaxDepth = 12;

  explicit JsonText(GrammarBuilder* builder) : builder_(builder) {}

  static Expression Comma();
  static Expression Colon();
  // The compact text of a value.
  static Expression Value(const Json& value);

  Expression AnyString();
  // Strings of so many code points.
  Expression StringOfLength(uint32_t min, uint32_t max);
  // Strings whose content, without escapes, `content` matches. Each has one spelling only.
  absl::StatusOr<Expression> StringMatching(const Automaton& content);

  absl::StatusOr<Expression> Number(const NumberBounds& bounds);

  absl::StatusOr<Expression> AnyValue() { return AnyValue(0); }
  absl::StatusOr<Expression> AnyObject() { return AnyObject(0); }
  absl::StatusOr<Expression> AnyArray() { return AnyArray(0); }

 private:
  absl::StatusOr<Expression> AnyValue(int depth);
  absl::StatusOr<Expression> AnyObject(int depth);
  absl::StatusOr<Expression> AnyArray(int depth);

  GrammarBuilder* const builder_;
  std::optional<Expression> string_;
  std::optional<Expression> integer_;
  std::optional<Expression> number_;
  std::optional<Expression> values_[kMaxDepth + 1];
  std::optional<Expression> objects_[kMaxDepth + 1];
  std::optional<Expression> arrays_[kMaxDepth + 1];
};

}  // namespace tandem::grammar

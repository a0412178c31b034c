// The expression half of the parser: Jinja2's precedence and syntax, one function per level.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "model/jinja/ast.h"
#include "model/jinja/token_stream.h"

namespace tandem::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : stream_(std::move(tokens)) {}

 protected:
  // Counts the nesting of the parser's own recursion while it lives.
  class Nested {
   public:
    explicit Nested(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxDepth) {
        parser_.stream_.FailHere("the template is nested deeper than ", kMaxDepth, " levels");
      }
    }
    ~Nested() { --parser_.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    ExpressionParser& parser_;
  };

  ExpressionPtr ParseExpression();
  // One expression, or a tuple where commas follow. Tuples end at the end of a tag, at ')' or at the name `end`.
  ExpressionPtr ParseTuple(bool conditionals, absl::string_view end = "");
  // A | chain applied to `operand`; `started`: the first filter has no '|' before it.
  ExpressionPtr ParseFilters(ExpressionPtr operand, bool started);
  ExpressionPtr ParsePostfix(ExpressionPtr node);

  Symbol Intern(const std::string& name);
  // Remembers that the macros now being parsed mention `name`.
  void NoteSpecialName(absl::string_view name);

  // An unknown filter or test is an error at once, except where Jinja2 only complains when it is reached: within `if`.
  void RequireKnownNames();

  TokenStream stream_;
  std::vector<std::string> symbols_;
  std::vector<MacroDefinition*> macros_;  // being parsed, outermost first
  std::vector<TemplateError> unknown_names_;

 private:
  static constexpr int kMaxDepth = 120;

  ExpressionPtr ParseOr();
  ExpressionPtr ParseLogical(bool is_or);
  ExpressionPtr ParseNot();
  ExpressionPtr ParseComparison();
  ExpressionPtr ParseSum();
  ExpressionPtr ParseConcatenation();
  ExpressionPtr ParseProduct();
  ExpressionPtr ParsePower();
  ExpressionPtr ParseUnary(bool with_filters);
  ExpressionPtr ParsePrimary();
  ExpressionPtr ParseName();
  ExpressionPtr ParseStrings();
  ExpressionPtr ParseParenthesized();
  ExpressionPtr ParseList();
  ExpressionPtr ParseDict();
  ExpressionPtr ParseFilterChain(ExpressionPtr node);
  ExpressionPtr ParseTest(ExpressionPtr operand);
  ExpressionPtr ParseAttribute(ExpressionPtr object);
  ExpressionPtr ParseSubscript(ExpressionPtr object);
  ExpressionPtr ParseCall(ExpressionPtr callee);
  CallArguments ParseArguments();
  std::string ParseDottedName();
  std::optional<CompareOperator> SkipCompareOperator();
  bool AtTupleEnd(absl::string_view end) const;

  absl::flat_hash_map<std::string, Symbol> symbol_index_;
  int depth_ = 0;
};

}  // namespace tandem::jinja

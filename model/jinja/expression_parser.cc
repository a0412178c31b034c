#include "model/jinja/expression_parser.h"

#include <algorithm>

#include "model/jinja/filters.h"

namespace tandem::jinja {

Symbol ExpressionParser::Intern(const std::string& name) {
  const auto [entry, is_new] = symbol_index_.try_emplace(name, static_cast<Symbol>(symbols_.size()));
  if (is_new) {
    symbols_.push_back(name);
  }
  return entry->second;
}

void ExpressionParser::NoteSpecialName(absl::string_view name) {
  for (MacroDefinition* macro : macros_) {
    macro->uses_caller = macro->uses_caller || name == "caller";
    macro->uses_kwargs = macro->uses_kwargs || name == "kwargs";
    macro->uses_varargs = macro->uses_varargs || name == "varargs";
  }
}

void ExpressionParser::RequireKnownNames() {
  if (!unknown_names_.empty()) {
    throw unknown_names_.front();
  }
}

ExpressionPtr ExpressionParser::ParseExpression() {
  const Nested nested(*this);
  const size_t known = unknown_names_.size();
  int line = stream_.line();
  ExpressionPtr node = ParseOr();
  while (stream_.SkipName("if")) {
    ExpressionPtr condition = ParseOr();
    ExpressionPtr otherwise = stream_.SkipName("else") ? ParseExpression() : nullptr;
    node = MakeExpression(line, Conditional{std::move(condition), std::move(node), std::move(otherwise)});
    line = stream_.line();
    unknown_names_.resize(known);
  }
  return node;
}

ExpressionPtr ExpressionParser::ParseTuple(bool conditionals, absl::string_view end) {
  const int line = stream_.line();
  std::vector<ExpressionPtr> items;
  bool is_tuple = false;
  while (items.empty() || stream_.SkipOperator(",")) {
    is_tuple = is_tuple || !items.empty();
    if (AtTupleEnd(end)) {
      break;
    }
    items.push_back(conditionals ? ParseExpression() : ParseOr());
    is_tuple = is_tuple || stream_.IsOperator(",");
  }
  if (is_tuple) {
    return MakeExpression(line, SequenceDisplay{SequenceKind::kTuple, std::move(items)});
  }
  if (items.empty()) {
    stream_.FailHere("Expected an expression, got ", stream_.Describe());
  }
  return std::move(items.front());
}

bool ExpressionParser::AtTupleEnd(absl::string_view end) const {
  return stream_.Is(TokenType::kVariableEnd) || stream_.Is(TokenType::kBlockEnd) || stream_.IsOperator(")") ||
         (!end.empty() && stream_.IsName(end));
}

ExpressionPtr ExpressionParser::ParseOr() { return ParseLogical(true); }

ExpressionPtr ExpressionParser::ParseLogical(bool is_or) {
  const int line = stream_.line();
  const auto parse = [&] { return is_or ? ParseLogical(false) : ParseNot(); };
  ExpressionPtr first = parse();
  const absl::string_view word = is_or ? "or" : "and";
  if (!stream_.IsName(word)) {
    return first;
  }
  Logical logical{is_or, {}};
  logical.operands.push_back(std::move(first));
  while (stream_.SkipName(word)) {
    logical.operands.push_back(parse());
  }
  return MakeExpression(line, std::move(logical));
}

ExpressionPtr ExpressionParser::ParseNot() {
  const Nested nested(*this);
  const int line = stream_.line();
  if (stream_.SkipName("not")) {
    return MakeExpression(line, Not{ParseNot()});
  }
  return ParseComparison();
}

std::optional<CompareOperator> ExpressionParser::SkipCompareOperator() {
  static constexpr std::pair<absl::string_view, CompareOperator> kOperators[] = {
      {"==", CompareOperator::kEqual},     {"!=", CompareOperator::kNotEqual}, {"<", CompareOperator::kLess},
      {"<=", CompareOperator::kLessEqual}, {">", CompareOperator::kGreater},   {">=", CompareOperator::kGreaterEqual},
  };
  for (const auto& [text, op] : kOperators) {
    if (stream_.SkipOperator(text)) {
      return op;
    }
  }
  if (stream_.SkipName("in")) {
    return CompareOperator::kIn;
  }
  if (stream_.IsName("not") && stream_.Look().type == TokenType::kName && stream_.Look().text == "in") {
    stream_.Next();
    stream_.Next();
    return CompareOperator::kNotIn;
  }
  return std::nullopt;
}

ExpressionPtr ExpressionParser::ParseComparison() {
  const int line = stream_.line();
  ExpressionPtr first = ParseSum();
  std::vector<std::pair<CompareOperator, ExpressionPtr>> rest;
  while (const auto op = SkipCompareOperator()) {
    rest.emplace_back(*op, ParseSum());
  }
  return rest.empty() ? std::move(first) : MakeExpression(line, Comparison{std::move(first), std::move(rest)});
}

ExpressionPtr ExpressionParser::ParseSum() {
  ExpressionPtr left = ParseConcatenation();
  while (stream_.IsOperator("+") || stream_.IsOperator("-")) {
    const int line = stream_.line();
    const auto op = stream_.Next().text == "+" ? BinaryOperator::kAdd : BinaryOperator::kSubtract;
    ExpressionPtr right = ParseConcatenation();
    left = MakeExpression(line, Binary{op, std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr ExpressionParser::ParseConcatenation() {
  const int line = stream_.line();
  ExpressionPtr first = ParseProduct();
  if (!stream_.IsOperator("~")) {
    return first;
  }
  Concatenation concatenation;
  concatenation.operands.push_back(std::move(first));
  while (stream_.SkipOperator("~")) {
    concatenation.operands.push_back(ParseProduct());
  }
  return MakeExpression(line, std::move(concatenation));
}

ExpressionPtr ExpressionParser::ParseProduct() {
  static constexpr std::pair<absl::string_view, BinaryOperator> kOperators[] = {
      {"*", BinaryOperator::kMultiply},
      {"/", BinaryOperator::kDivide},
      {"//", BinaryOperator::kFloorDivide},
      {"%", BinaryOperator::kModulo},
  };
  ExpressionPtr left = ParsePower();
  while (true) {
    const auto found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                    [&](const auto& entry) { return stream_.IsOperator(entry.first); });
    if (found == std::end(kOperators)) {
      return left;
    }
    const int line = stream_.Next().line;
    ExpressionPtr right = ParsePower();
    left = MakeExpression(line, Binary{found->second, std::move(left), std::move(right)});
  }
}

ExpressionPtr ExpressionParser::ParsePower() {
  ExpressionPtr left = ParseUnary(true);
  while (stream_.IsOperator("**")) {
    const int line = stream_.Next().line;
    ExpressionPtr right = ParseUnary(true);
    left = MakeExpression(line, Binary{BinaryOperator::kPower, std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr ExpressionParser::ParseUnary(bool with_filters) {
  const Nested nested(*this);
  const int line = stream_.line();
  ExpressionPtr node;
  if (stream_.IsOperator("-") || stream_.IsOperator("+")) {
    const bool negative = stream_.Next().text == "-";
    node = MakeExpression(line, Sign{negative, ParseUnary(false)});
  } else {
    node = ParsePrimary();
  }
  node = ParsePostfix(std::move(node));
  return with_filters ? ParseFilterChain(std::move(node)) : std::move(node);
}

ExpressionPtr ExpressionParser::ParsePrimary() {
  const Token& token = stream_.current();
  switch (token.type) {
    case TokenType::kName:
      return ParseName();
    case TokenType::kString:
      return ParseStrings();
    case TokenType::kInteger:
      stream_.Next();
      return MakeExpression(token.line, Constant{Value::Int(token.integer)});
    case TokenType::kFloat:
      stream_.Next();
      return MakeExpression(token.line, Constant{Value::Float(token.real)});
    default:
      break;
  }
  if (stream_.IsOperator("(")) {
    return ParseParenthesized();
  }
  if (stream_.IsOperator("[")) {
    return ParseList();
  }
  if (stream_.IsOperator("{")) {
    return ParseDict();
  }
  stream_.FailHere("unexpected ", stream_.Describe());
}

ExpressionPtr ExpressionParser::ParseName() {
  const Token& token = stream_.Next();
  const std::string& text = token.text;
  if (text == "true" || text == "True" || text == "false" || text == "False") {
    return MakeExpression(token.line, Constant{Value::Bool(text == "true" || text == "True")});
  }
  if (text == "none" || text == "None") {
    return MakeExpression(token.line, Constant{Value::None()});
  }
  NoteSpecialName(text);
  return MakeExpression(token.line, Name{Intern(text)});
}

ExpressionPtr ExpressionParser::ParseStrings() {
  const int line = stream_.line();
  std::string text;
  while (stream_.Is(TokenType::kString)) {
    text += stream_.Next().text;
  }
  return MakeExpression(line, Constant{Value::String(text)});
}

ExpressionPtr ExpressionParser::ParseParenthesized() {
  const int line = stream_.Next().line;
  if (stream_.SkipOperator(")")) {
    return MakeExpression(line, SequenceDisplay{SequenceKind::kTuple, {}});
  }
  ExpressionPtr node = ParseTuple(true);
  stream_.ExpectOperator(")");
  return node;
}

ExpressionPtr ExpressionParser::ParseList() {
  const int line = stream_.Next().line;
  std::vector<ExpressionPtr> items;
  while (!stream_.IsOperator("]")) {
    if (!items.empty()) {
      stream_.ExpectOperator(",");
      if (stream_.IsOperator("]")) {
        break;
      }
    }
    items.push_back(ParseExpression());
  }
  stream_.ExpectOperator("]");
  return MakeExpression(line, SequenceDisplay{SequenceKind::kList, std::move(items)});
}

ExpressionPtr ExpressionParser::ParseDict() {
  const int line = stream_.Next().line;
  DictDisplay dict;
  while (!stream_.IsOperator("}")) {
    if (!dict.entries.empty()) {
      stream_.ExpectOperator(",");
      if (stream_.IsOperator("}")) {
        break;
      }
    }
    ExpressionPtr key = ParseExpression();
    stream_.ExpectOperator(":");
    dict.entries.emplace_back(std::move(key), ParseExpression());
  }
  stream_.ExpectOperator("}");
  return MakeExpression(line, std::move(dict));
}

}  // namespace tandem::jinja

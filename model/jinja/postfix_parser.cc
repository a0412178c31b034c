// What follows a primary expression: attributes, subscripts, calls, filters and tests.
#include "model/jinja/expression_parser.h"
#include "model/jinja/filters.h"

namespace tandem::jinja {

ExpressionPtr ExpressionParser::ParsePostfix(ExpressionPtr node) {
  while (true) {
    if (stream_.IsOperator(".")) {
      node = ParseAttribute(std::move(node));
    } else if (stream_.IsOperator("[")) {
      node = ParseSubscript(std::move(node));
    } else if (stream_.IsOperator("(")) {
      node = ParseCall(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::ParseAttribute(ExpressionPtr object) {
  const int line = stream_.Next().line;
  const Token& token = stream_.Next();
  if (token.type == TokenType::kName) {
    return MakeExpression(line, AttributeAccess{std::move(object), token.text});
  }
  if (token.type != TokenType::kInteger) {
    stream_.FailHere("expected name or number");
  }
  ExpressionPtr key = MakeExpression(line, Constant{Value::Int(token.integer)});
  return MakeExpression(line, ItemAccess{std::move(object), std::move(key)});
}

ExpressionPtr ExpressionParser::ParseSubscript(ExpressionPtr object) {
  const int line = stream_.Next().line;
  const auto at_end = [&] { return stream_.IsOperator("]") || stream_.IsOperator(","); };
  const auto bound = [&] { return at_end() || stream_.IsOperator(":") ? nullptr : ParseExpression(); };
  ExpressionPtr first = bound();
  if (stream_.SkipOperator(":")) {
    ExpressionPtr stop = bound();
    ExpressionPtr step = stream_.SkipOperator(":") ? bound() : nullptr;
    stream_.ExpectOperator("]");
    return MakeExpression(line, SliceAccess{std::move(object), std::move(first), std::move(stop), std::move(step)});
  }
  if (first == nullptr && !stream_.IsOperator("]")) {
    stream_.FailHere("expected an index, got ", stream_.Describe());
  }
  if (first != nullptr && !stream_.IsOperator(",")) {
    stream_.ExpectOperator("]");
    return MakeExpression(line, ItemAccess{std::move(object), std::move(first)});
  }
  // x[a, b] has the tuple (a, b) for a key, x[] the empty one.
  std::vector<ExpressionPtr> keys;
  if (first != nullptr) {
    keys.push_back(std::move(first));
  }
  while (stream_.SkipOperator(",")) {
    keys.push_back(ParseExpression());
  }
  stream_.ExpectOperator("]");
  ExpressionPtr key = MakeExpression(line, SequenceDisplay{SequenceKind::kTuple, std::move(keys)});
  return MakeExpression(line, ItemAccess{std::move(object), std::move(key)});
}

ExpressionPtr ExpressionParser::ParseCall(ExpressionPtr callee) {
  const int line = stream_.line();
  return MakeExpression(line, Call{std::move(callee), ParseArguments()});
}

CallArguments ExpressionParser::ParseArguments() {
  CallArguments arguments;
  const auto ensure = [&](bool valid) {
    if (!valid) {
      stream_.FailHere("invalid syntax for function call expression");
    }
  };
  stream_.ExpectOperator("(");
  for (bool first = true; !stream_.IsOperator(")"); first = false) {
    if (!first) {
      stream_.ExpectOperator(",");
      if (stream_.IsOperator(")")) {
        break;
      }
    }
    if (stream_.SkipOperator("*")) {
      ensure(arguments.more_positional == nullptr && arguments.more_keyword == nullptr);
      arguments.more_positional = ParseExpression();
    } else if (stream_.SkipOperator("**")) {
      ensure(arguments.more_keyword == nullptr);
      arguments.more_keyword = ParseExpression();
    } else if (stream_.Is(TokenType::kName) && stream_.Look().type == TokenType::kOperator &&
               stream_.Look().text == "=") {
      ensure(arguments.more_keyword == nullptr);
      std::string name = stream_.Next().text;
      stream_.Next();
      arguments.keyword.emplace_back(std::move(name), ParseExpression());
    } else {
      ensure(arguments.more_positional == nullptr && arguments.more_keyword == nullptr && arguments.keyword.empty());
      arguments.positional.push_back(ParseExpression());
    }
  }
  stream_.ExpectOperator(")");
  return arguments;
}

ExpressionPtr ExpressionParser::ParseFilterChain(ExpressionPtr node) {
  while (true) {
    if (stream_.IsOperator("|")) {
      node = ParseFilters(std::move(node), false);
    } else if (stream_.IsName("is")) {
      node = ParseTest(std::move(node));
    } else if (stream_.IsOperator("(")) {
      node = ParseCall(std::move(node));
    } else {
      return node;
    }
  }
}

std::string ExpressionParser::ParseDottedName() {
  std::string name = stream_.Expect(TokenType::kName, "a name").text;
  while (stream_.SkipOperator(".")) {
    absl::StrAppend(&name, ".", stream_.Expect(TokenType::kName, "a name").text);
  }
  return name;
}

ExpressionPtr ExpressionParser::ParseFilters(ExpressionPtr operand, bool started) {
  for (; started || stream_.SkipOperator("|"); started = false) {
    const int line = stream_.line();
    std::string name = ParseDottedName();
    const Builtin* builtin = FindFilter(name);
    if (builtin == nullptr) {
      unknown_names_.push_back(
          {absl::StatusCode::kInvalidArgument, absl::StrCat("No filter named '", name, "'."), line});
    }
    CallArguments arguments = stream_.IsOperator("(") ? ParseArguments() : CallArguments();
    operand = MakeExpression(line, Filter{std::move(operand), std::move(name), builtin, std::move(arguments)});
  }
  return operand;
}

ExpressionPtr ExpressionParser::ParseTest(ExpressionPtr operand) {
  const int line = stream_.Next().line;
  const bool negated = stream_.SkipName("not");
  std::string name = ParseDottedName();
  const Builtin* builtin = FindTest(name);
  if (builtin == nullptr) {
    unknown_names_.push_back({absl::StatusCode::kInvalidArgument, absl::StrCat("No test named '", name, "'."), line});
  }
  CallArguments arguments;
  const bool starts_value = stream_.Is(TokenType::kName) || stream_.Is(TokenType::kString) ||
                            stream_.Is(TokenType::kInteger) || stream_.Is(TokenType::kFloat) ||
                            stream_.IsOperator("[") || stream_.IsOperator("{");
  if (stream_.IsOperator("(")) {
    arguments = ParseArguments();
  } else if (starts_value && !stream_.IsName("else") && !stream_.IsName("or") && !stream_.IsName("and")) {
    if (stream_.IsName("is")) {
      stream_.FailHere("You cannot chain multiple tests with is");
    }
    arguments.positional.push_back(ParsePostfix(ParsePrimary()));
  }
  ExpressionPtr test = MakeExpression(line, Test{std::move(operand), std::move(name), builtin, std::move(arguments)});
  return negated ? MakeExpression(line, Not{std::move(test)}) : std::move(test);
}

}  // namespace tandem::jinja

// The statement half of the parser.
#include "model/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "model/jinja/expression_parser.h"

namespace tandem::jinja {
namespace {

using Words = std::initializer_list<absl::string_view>;

class Parser : public ExpressionParser {
 public:
  explicit Parser(absl::string_view source) : ExpressionParser(Tokenize(source)) {}

  Ast Run() {
    Ast ast;
    ast.body = ParseBody({});
    RequireKnownNames();
    ast.symbols = std::move(symbols_);
    return ast;
  }

 private:
  using Method = Statement::Node (Parser::*)();

  // Statements up to a tag that starts with one of `end`, which is left unread (its '{%' is not). Empty: to the end.
  Body ParseBody(Words end) {
    Body body;
    while (!stream_.Is(TokenType::kEnd)) {
      const int line = stream_.line();
      if (stream_.Is(TokenType::kData)) {
        body.push_back({line, Data{stream_.Next().text}});
        continue;
      }
      if (stream_.Is(TokenType::kVariableBegin)) {
        stream_.Next();
        body.push_back({line, Print{ParseTuple(true)}});
        stream_.Expect(TokenType::kVariableEnd, "end of print statement");
      } else {
        stream_.Expect(TokenType::kBlockBegin, "a tag");
        if (AtOneOf(end)) {
          return body;
        }
        ParseStatement(&body);
      }
      CheckNames();
    }
    if (end.size() != 0) {
      stream_.FailHere("Unexpected end of template. Expected '", *end.begin(),
                       "' (or another continuation) for the tag '", tags_.empty() ? "" : tags_.back(), "'.");
    }
    return body;
  }

  // The rest of an opening tag, and the body behind it.
  Body ParseBlock(Words end) {
    stream_.SkipOperator(":");
    stream_.Expect(TokenType::kBlockEnd, "end of statement block");
    return ParseBody(end);
  }

  // A body whose end tag has only its name to offer.
  Body ParseBlockTo(absl::string_view end) {
    Body body = ParseBlock({end});
    stream_.Next();
    return body;
  }

  // A block that Jinja2 compiles as a frame of its own: unknown filters in it count even inside `if`.
  template <typename Parse>
  auto InOwnFrame(Parse parse) {
    const bool soft = std::exchange(soft_, false);
    auto result = parse();
    soft_ = soft;
    return result;
  }

  void CheckNames() {
    if (soft_) {
      unknown_names_.clear();
    } else {
      RequireKnownNames();
    }
  }

  bool AtOneOf(Words words) const {
    return std::any_of(words.begin(), words.end(), [&](absl::string_view word) { return stream_.IsName(word); });
  }

  void ParseStatement(Body* body) {
    static constexpr std::pair<absl::string_view, Method> kStatements[] = {
        {"if", &Parser::ParseIf},
        {"for", &Parser::ParseFor},
        {"set", &Parser::ParseSet},
        {"macro", &Parser::ParseMacro},
        {"call", &Parser::ParseCallBlock},
        {"filter", &Parser::ParseFilterBlock},
        {"with", &Parser::ParseWith},
        {"break", &Parser::ParseLoopControl<Break>},
        {"continue", &Parser::ParseLoopControl<Continue>},
        {"generation", &Parser::ParseGeneration},
    };
    const Nested nested(*this);
    const int line = stream_.line();
    const std::string tag = stream_.Expect(TokenType::kName, "tag name").text;
    tags_.push_back(tag);
    const auto found = std::find_if(std::begin(kStatements), std::end(kStatements),
                                    [&](const auto& entry) { return entry.first == tag; });
    if (found != std::end(kStatements)) {
      body->push_back({line, (this->*found->second)()});
    } else if (tag == "print") {
      ParsePrint(body);
    } else {
      throw TemplateError{absl::StatusCode::kInvalidArgument, absl::StrCat("Encountered unknown tag '", tag, "'."),
                          line};
    }
    stream_.Expect(TokenType::kBlockEnd, "end of statement block");
    tags_.pop_back();
  }

  Statement::Node ParseIf() {
    If node;
    const bool soft = std::exchange(soft_, true);
    std::string tag = "if";
    while (tag != "endif") {
      if (tag == "else") {
        node.otherwise = ParseBlock({"endif"});
      } else {
        ExpressionPtr condition = ParseTuple(false);
        node.branches.emplace_back(std::move(condition), ParseBlock({"elif", "else", "endif"}));
      }
      tag = stream_.Next().text;
    }
    CheckNames();
    soft_ = soft;
    return node;
  }

  Statement::Node ParseFor() {
    For node;
    node.target = ParseTarget(false);
    if (!stream_.SkipName("in")) {
      stream_.FailHere("expected 'in', got ", stream_.Describe());
    }
    node.iterable = ParseTuple(false, "recursive");
    node.condition = stream_.SkipName("if") ? ParseExpression() : nullptr;
    node.recursive = stream_.SkipName("recursive");
    CheckNames();
    ++loops_;
    node.body = InOwnFrame([&] { return ParseBlock({"endfor", "else"}); });
    --loops_;
    if (stream_.Next().text == "else") {
      node.otherwise = InOwnFrame([&] { return ParseBlockTo("endfor"); });
    }
    return node;
  }

  Statement::Node ParseSet() {
    Target target = ParseTarget(true);
    if (stream_.SkipOperator("=")) {
      return Set{std::move(target), ParseTuple(true)};
    }
    ExpressionPtr filter = ParseFilters(nullptr, false);
    return InOwnFrame([&] { return SetBlock{std::move(target), std::move(filter), ParseBlockTo("endset")}; });
  }

  Statement::Node ParseMacro() {
    std::string name = stream_.Expect(TokenType::kName, "a macro name").text;
    const Symbol symbol = Intern(name);
    auto definition = std::make_unique<MacroDefinition>();
    definition->name = std::move(name);
    ParseDefinition(definition.get(), true, "endmacro", nullptr);
    return Macro{symbol, std::move(definition)};
  }

  Statement::Node ParseCallBlock() {
    auto definition = std::make_unique<MacroDefinition>();
    definition->name = "caller";
    ExpressionPtr call;
    ParseDefinition(definition.get(), stream_.IsOperator("("), "endcall", &call);
    return CallBlock{std::move(definition), std::move(call)};
  }

  // A signature, the called expression of a call block, and the body.
  void ParseDefinition(MacroDefinition* definition, bool has_signature, absl::string_view end, ExpressionPtr* call) {
    macros_.push_back(definition);
    if (has_signature) {
      ParseSignature(definition);
    }
    macros_.pop_back();
    if (call != nullptr) {
      *call = ParseExpression();
      if (!std::holds_alternative<Call>((*call)->node)) {
        stream_.FailHere("expected call");
      }
    }
    CheckNames();
    macros_.push_back(definition);
    const int loops = std::exchange(loops_, 0);
    definition->body = InOwnFrame([&] { return ParseBlockTo(end); });
    loops_ = loops;
    macros_.pop_back();
  }

  void ParseSignature(MacroDefinition* definition) {
    stream_.ExpectOperator("(");
    while (!stream_.IsOperator(")")) {
      if (!definition->parameters.empty()) {
        stream_.ExpectOperator(",");
      }
      std::string name = stream_.Expect(TokenType::kName, "a parameter name").text;
      ExpressionPtr fallback = stream_.SkipOperator("=") ? ParseExpression() : nullptr;
      if (fallback == nullptr && !definition->parameters.empty() && definition->parameters.back().fallback != nullptr) {
        stream_.FailHere("non-default argument follows default argument");
      }
      const Symbol symbol = Intern(name);
      definition->parameters.push_back({symbol, std::move(name), std::move(fallback)});
    }
    stream_.ExpectOperator(")");
  }

  Statement::Node ParseFilterBlock() {
    ExpressionPtr filter = ParseFilters(nullptr, true);
    return InOwnFrame([&] { return FilterBlock{std::move(filter), ParseBlockTo("endfilter")}; });
  }

  Statement::Node ParseWith() {
    With node;
    while (!stream_.Is(TokenType::kBlockEnd) && !stream_.IsOperator(":")) {
      if (!node.assignments.empty()) {
        stream_.ExpectOperator(",");
      }
      Target target = ParseTargetPart(false);
      stream_.ExpectOperator("=");
      node.assignments.emplace_back(std::move(target), ParseExpression());
    }
    CheckNames();
    node.body = InOwnFrame([&] { return ParseBlockTo("endwith"); });
    return node;
  }

  // The {% generation %} block of Hugging Face templates marks the assistant's words for training; here it only prints.
  Statement::Node ParseGeneration() {
    const int loops = std::exchange(loops_, 0);
    Body body = InOwnFrame([&] { return ParseBlockTo("endgeneration"); });
    loops_ = loops;
    return With{{}, std::move(body)};
  }

  template <typename Node>
  Statement::Node ParseLoopControl() {
    if (loops_ == 0) {
      stream_.FailHere("'", tags_.back(), "' outside loop");
    }
    return Node{};
  }

  void ParsePrint(Body* body) {
    for (bool first = true; !stream_.Is(TokenType::kBlockEnd); first = false) {
      if (!first) {
        stream_.ExpectOperator(",");
      }
      body->push_back({stream_.line(), Print{ParseExpression()}});
    }
  }

  Target ParseTarget(bool allow_attributes) {
    Target target;
    target.line = stream_.line();
    while (true) {
      if (target.is_tuple && (stream_.Is(TokenType::kBlockEnd) || stream_.IsName("in") || stream_.IsOperator("=") ||
                              stream_.IsOperator(")"))) {
        break;
      }
      target.parts.push_back(ParseTargetPart(allow_attributes));
      if (!stream_.SkipOperator(",")) {
        break;
      }
      target.is_tuple = true;
    }
    return target.is_tuple ? std::move(target) : std::move(target.parts.front());
  }

  Target ParseTargetPart(bool allow_attributes) {
    const Nested nested(*this);
    Target target;
    target.line = stream_.line();
    if (stream_.SkipOperator("(")) {
      target = ParseTarget(allow_attributes);
      stream_.ExpectOperator(")");
      return target;
    }
    const std::string name = stream_.Expect(TokenType::kName, "a name to assign to").text;
    static constexpr absl::string_view kConstants[] = {"true", "True", "false", "False", "none", "None"};
    if (std::find(std::begin(kConstants), std::end(kConstants), name) != std::end(kConstants)) {
      stream_.FailHere("can't assign to '", name, "'");
    }
    target.symbol = Intern(name);
    if (allow_attributes && stream_.SkipOperator(".")) {
      target.attribute = stream_.Expect(TokenType::kName, "an attribute name").text;
    }
    return target;
  }

  std::vector<std::string> tags_;  // open, outermost first
  int loops_ = 0;                  // around the current statement, within its macro
  bool soft_ = false;              // within `if`
};

}  // namespace

Ast Parse(absl::string_view source) { return Parser(source).Run(); }

}  // namespace tandem::jinja

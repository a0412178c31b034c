// A cursor over tokens, with the checks a recursive-descent parser needs.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "model/jinja/error.h"
#include "model/jinja/lexer.h"

namespace tandem::jinja {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[pos_]; }
  const Token& Look() const { return tokens_[std::min(pos_ + 1, tokens_.size() - 1)]; }
  int line() const { return current().line; }

  bool Is(TokenType type) const { return current().type == type; }
  bool IsOperator(absl::string_view text) const { return Is(TokenType::kOperator) && current().text == text; }
  bool IsName(absl::string_view text) const { return Is(TokenType::kName) && current().text == text; }

  const Token& Next() {
    const Token& token = tokens_[pos_];
    pos_ = std::min(pos_ + 1, tokens_.size() - 1);
    return token;
  }
  bool SkipOperator(absl::string_view text) { return IsOperator(text) && (Next(), true); }
  bool SkipName(absl::string_view text) { return IsName(text) && (Next(), true); }

  const Token& Expect(TokenType type, absl::string_view what) {
    if (!Is(type)) {
      FailHere("expected ", what, ", got ", Describe());
    }
    return Next();
  }
  void ExpectOperator(absl::string_view text) {
    if (!SkipOperator(text)) {
      FailHere("expected '", text, "', got ", Describe());
    }
  }

  std::string Describe() const {
    switch (current().type) {
      case TokenType::kData:
        return "text";
      case TokenType::kBlockBegin:
        return "'{%'";
      case TokenType::kBlockEnd:
        return "end of statement block";
      case TokenType::kVariableBegin:
        return "'{{'";
      case TokenType::kVariableEnd:
        return "end of print statement";
      case TokenType::kEnd:
        return "end of template";
      default:
        return absl::StrCat("'", current().text, "'");
    }
  }

  template <typename... Pieces>
  [[noreturn]] void FailHere(const Pieces&... pieces) const {
    throw TemplateError{absl::StatusCode::kInvalidArgument, absl::StrCat(pieces...), line()};
  }

 private:
  std::vector<Token> tokens_;  // ends in kEnd, which is never passed
  size_t pos_ = 0;
};

}  // namespace tandem::jinja

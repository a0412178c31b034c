// Template source → tokens, with the white space rules of Jinja2 under trim_blocks and lstrip_blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem::jinja {

enum class TokenType {
  kData,  // text between tags, as it is to be printed
  kBlockBegin,
  kBlockEnd,
  kVariableBegin,
  kVariableEnd,
  kName,
  kString,  // with escapes resolved
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenType type;
  int line;
  std::string text;
  int64_t integer = 0;
  double real = 0;
};

// The last token is kEnd. Throws TemplateError with the line.
std::vector<Token> Tokenize(absl::string_view source);

}  // namespace tandem::jinja

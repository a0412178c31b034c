#include "model/jinja/lexer.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "model/jinja/error.h"
#include "model/jinja/string_literal.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

constexpr size_t kNone = std::string::npos;

// Line breaks become \n, and one at the very end is dropped.
std::string Normalize(absl::string_view source) {
  std::string out = absl::StrReplaceAll(source, {{"\r\n", "\n"}, {"\r", "\n"}});
  if (!out.empty() && out.back() == '\n') {
    out.pop_back();
  }
  return out;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(absl::string_view source) : source_(Normalize(source)), view_(source_) {}

  std::vector<Token> Run() {
    try {
      while (LexData()) {
      }
      Emit(TokenType::kEnd, "");
    } catch (TemplateError& error) {
      error.line = error.line == 0 ? line_ : error.line;
      throw;
    }
    return std::move(tokens_);
  }

 private:
  bool LookingAt(absl::string_view text, size_t pos) const { return view_.substr(pos, text.size()) == text; }

  void Emit(TokenType type, std::string text) { tokens_.push_back({type, line_, std::move(text)}); }

  // Moves past `end`, counting lines.
  void AdvanceTo(size_t end) {
    const absl::string_view passed = view_.substr(pos_, end - pos_);
    line_ += static_cast<int>(std::count(passed.begin(), passed.end(), '\n'));
    if (!passed.empty()) {
      line_starting_ = passed.back() == '\n';
    }
    pos_ = end;
  }

  size_t SkipSpace(size_t pos) const {
    while (pos < view_.size()) {
      const utf8::CodePoint c = utf8::DecodeAt(view_, pos);
      if (!utf8::IsSpace(c.value)) {
        break;
      }
      pos += c.length;
    }
    return pos;
  }

  char SignAt(size_t pos) const {
    return pos < view_.size() && (view_[pos] == '-' || view_[pos] == '+') ? view_[pos] : 0;
  }

  // The position after `{% <word>` with its optional sign, or kNone.
  size_t AfterTagWord(size_t begin, absl::string_view word) const {
    size_t pos = begin + 2;
    pos = SkipSpace(pos + (SignAt(pos) != 0 ? 1 : 0));
    return LookingAt(word, pos) ? SkipSpace(pos + word.size()) : kNone;
  }

  // The text before a tag, stripped as the tag's sign and lstrip_blocks ask.
  absl::string_view StripBefore(absl::string_view text, char sign, bool is_variable) const {
    if (sign == '-') {
      return utf8::StripRight(text);
    }
    if (sign == '+' || is_variable) {
      return text;
    }
    const size_t newline = text.rfind('\n');
    const size_t line_begin = newline == kNone ? 0 : newline + 1;
    if (newline == kNone && !line_starting_) {
      return text;
    }
    return utf8::StripRight(text.substr(line_begin)).empty() ? text.substr(0, line_begin) : text;
  }

  void EmitData(absl::string_view text) {
    if (!text.empty()) {
      Emit(TokenType::kData, std::string(text));
    }
  }

  // Text up to the next tag, and that tag. False at the end.
  bool LexData() {
    if (pos_ >= view_.size()) {
      return false;
    }
    size_t begin = pos_;
    while ((begin = view_.find('{', begin)) != kNone && !LookingAt("{%", begin) && !LookingAt("{{", begin) &&
           !LookingAt("{#", begin)) {
      ++begin;
    }
    if (begin == kNone) {
      EmitData(view_.substr(pos_));
      AdvanceTo(view_.size());
      return false;
    }
    const char kind = view_[begin + 1];
    const char sign = SignAt(begin + 2);
    EmitData(StripBefore(view_.substr(pos_, begin - pos_), sign, kind == '{'));
    AdvanceTo(begin);
    const size_t content = begin + 2 + (sign != 0 ? 1 : 0);
    if (kind == '#') {
      LexComment(content);
    } else if (kind == '%' && LexRaw()) {
      return true;
    } else {
      Emit(kind == '{' ? TokenType::kVariableBegin : TokenType::kBlockBegin, "");
      AdvanceTo(content);
      LexTag(kind == '{' ? "}}" : "%}");
    }
    return true;
  }

  // The end of a closing delimiter whose mark (%}, #} or }}) starts at `mark`: after '-' white space goes too, after a
  // block or comment one line break, unless there is a '+'.
  size_t CloseEnd(size_t mark, char sign, bool trims) const {
    const size_t end = mark + 2;
    if (sign == '-') {
      return SkipSpace(end);
    }
    return trims && sign != '+' && end < view_.size() && view_[end] == '\n' ? end + 1 : end;
  }

  void LexComment(size_t content) {
    const size_t mark = view_.find("#}", content);
    if (mark == kNone) {
      Fail("Missing end of comment tag");
    }
    const char sign = mark > content ? SignAt(mark - 1) : 0;
    AdvanceTo(CloseEnd(mark, sign, true));
  }

  bool LexRaw() {
    size_t pos = AfterTagWord(pos_, "raw");
    if (pos == kNone || !(LookingAt("%}", pos) || LookingAt("-%}", pos))) {
      return false;
    }
    const bool strips = view_[pos] == '-';
    AdvanceTo(strips ? SkipSpace(pos + 3) : pos + 2);
    for (size_t begin = pos_; (begin = view_.find("{%", begin)) != kNone; begin += 2) {
      const size_t close = AfterTagWord(begin, "endraw");
      if (close == kNone) {
        continue;
      }
      const char sign = SignAt(close);
      const size_t mark = close + (sign != 0 ? 1 : 0);
      if (LookingAt("%}", mark)) {
        EmitData(StripBefore(view_.substr(pos_, begin - pos_), SignAt(begin + 2), false));
        AdvanceTo(CloseEnd(mark, sign, true));
        return true;
      }
    }
    Fail("Missing end of raw directive");
  }

  void LexTag(absl::string_view close) {
    const bool block = close == "%}";
    while (true) {
      AdvanceTo(SkipSpace(pos_));
      if (pos_ >= view_.size()) {
        Fail("unexpected end of template, expected '", close, "'");
      }
      const char sign = SignAt(pos_);
      const size_t mark = pos_ + (sign == '-' || (block && sign == '+') ? 1 : 0);
      if (braces_.empty() && LookingAt(close, mark)) {
        Emit(block ? TokenType::kBlockEnd : TokenType::kVariableEnd, "");
        AdvanceTo(CloseEnd(mark, sign, block));
        return;
      }
      LexToken();
    }
  }

  void LexToken() {
    const char c = view_[pos_];
    if (IsDigit(c)) {
      LexNumber();
    } else if (c == '"' || c == '\'') {
      LexString(c);
    } else if (!LexName() && !LexOperator()) {
      Fail("unexpected char '", view_.substr(pos_, utf8::DecodeAt(view_, pos_).length), "'");
    }
  }

  // Digits with single underscores between them.
  size_t DigitsEnd(size_t pos) const {
    while (pos < view_.size() && IsDigit(view_[pos])) {
      ++pos;
      if (pos + 1 < view_.size() && view_[pos] == '_' && IsDigit(view_[pos + 1])) {
        ++pos;
      }
    }
    return pos;
  }

  size_t FloatEnd(size_t whole_end) const {
    size_t end = whole_end;
    if (end + 1 < view_.size() && view_[end] == '.' && IsDigit(view_[end + 1])) {
      end = DigitsEnd(end + 1);
    }
    if (end < view_.size() && (view_[end] | 0x20) == 'e') {
      const size_t digits = end + 1 + (SignAt(end + 1) != 0 ? 1 : 0);
      if (digits < view_.size() && IsDigit(view_[digits])) {
        end = DigitsEnd(digits);
      }
    }
    return end;
  }

  void LexNumber() {
    const size_t whole_end = DigitsEnd(pos_);
    const size_t float_end = pos_ > 0 && view_[pos_ - 1] == '.' ? whole_end : FloatEnd(whole_end);
    const bool real = float_end > whole_end;
    const size_t end = real ? float_end : IntegerEnd(whole_end);
    const std::string digits = absl::StrReplaceAll(view_.substr(pos_, end - pos_), {{"_", ""}});
    Token token{real ? TokenType::kFloat : TokenType::kInteger, line_, digits};
    const bool read = real ? absl::SimpleAtod(digits, &token.real) : ReadInteger(digits, &token.integer);
    if (!read) {
      Fail("the number ", digits, " does not fit in 64 bits");
    }
    tokens_.push_back(std::move(token));
    AdvanceTo(end);
  }

  // 0x1f, 0o17, 0b11 go on after the leading zero.
  size_t IntegerEnd(size_t whole_end) const {
    if (view_[pos_] != '0' || whole_end != pos_ + 1 || whole_end >= view_.size()) {
      return whole_end;
    }
    const absl::string_view alphabet = RadixDigits(view_[whole_end]);
    const size_t end = std::min(view_.find_first_not_of(alphabet, whole_end + 1), view_.size());
    return alphabet.empty() || end == whole_end + 1 ? whole_end : end;
  }

  static absl::string_view RadixDigits(char letter) {
    switch (letter | 0x20) {
      case 'x':
        return "0123456789abcdefABCDEF_";
      case 'o':
        return "01234567_";
      case 'b':
        return "01_";
      default:
        return "";
    }
  }

  static bool ReadInteger(const std::string& digits, int64_t* number) {
    const int base = digits.size() < 2           ? 10
                     : (digits[1] | 0x20) == 'x' ? 16
                     : (digits[1] | 0x20) == 'o' ? 8
                     : (digits[1] | 0x20) == 'b' ? 2
                                                 : 10;
    char* end = nullptr;
    errno = 0;
    *number = std::strtoll(digits.c_str() + (base == 10 ? 0 : 2), &end, base);
    return errno == 0;
  }

  void LexString(char quote) {
    size_t end = pos_ + 1;
    while (end < view_.size() && view_[end] != quote) {
      end += view_[end] == '\\' ? 2 : 1;
    }
    if (end >= view_.size()) {
      Fail("unexpected char ", std::string(1, quote), ": the string is not closed");
    }
    Emit(TokenType::kString, UnescapeString(view_.substr(pos_ + 1, end - pos_ - 1)));
    AdvanceTo(end + 1);
  }

  bool LexName() {
    size_t end = pos_;
    while (end < view_.size()) {
      const utf8::CodePoint c = utf8::DecodeAt(view_, end);
      if (c.value != U'_' && !utf8::IsAlpha(c.value) && !utf8::IsNumeric(c.value)) {
        break;
      }
      end += c.length;
    }
    if (end == pos_) {
      return false;
    }
    Emit(TokenType::kName, std::string(view_.substr(pos_, end - pos_)));
    AdvanceTo(end);
    return true;
  }

  bool LexOperator() {
    static constexpr absl::string_view kPairs[] = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr absl::string_view kSingles = "+-/*%~[](){}><=.:|,;";
    const absl::string_view pair = view_.substr(pos_, 2);
    const bool is_pair = std::find(std::begin(kPairs), std::end(kPairs), pair) != std::end(kPairs);
    if (!is_pair && kSingles.find(view_[pos_]) == kNone) {
      return false;
    }
    if (!is_pair) {
      Balance(view_[pos_]);
    }
    Emit(TokenType::kOperator, std::string(view_.substr(pos_, is_pair ? 2 : 1)));
    AdvanceTo(pos_ + (is_pair ? 2 : 1));
    return true;
  }

  // Within brackets the end of a tag is not recognized.
  void Balance(char c) {
    static constexpr absl::string_view kOpen = "([{";
    static constexpr absl::string_view kClose = ")]}";
    if (const size_t kind = kOpen.find(c); kind != kNone) {
      braces_.push_back(kClose[kind]);
    } else if (kClose.find(c) != kNone) {
      if (braces_.empty() || braces_.back() != c) {
        Fail("unexpected '", std::string(1, c), "'",
             braces_.empty() ? "" : absl::StrCat(", expected '", std::string(1, braces_.back()), "'"));
      }
      braces_.pop_back();
    }
  }

  const std::string source_;
  const absl::string_view view_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::string braces_;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> Tokenize(absl::string_view source) { return Lexer(source).Run(); }

}  // namespace tandem::jinja

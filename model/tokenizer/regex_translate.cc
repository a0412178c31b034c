#include "model/tokenizer/regex_translate.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/tokenizer/regex_char_set.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

constexpr int kMaxNesting = 64;

class Translator {
 public:
  explicit Translator(absl::string_view pattern) : in_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (pos_ < in_.size()) {
      RETURN_IF_ERROR(Step());
    }
    return std::move(out_);
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("regex /", in_, "/, offset ", pos_, ": ", what));
  }

  bool Peek(absl::string_view text) const { return in_.substr(pos_, text.size()) == text; }

  bool Consume(absl::string_view text) {
    if (!Peek(text)) return false;
    pos_ += text.size();
    return true;
  }

  void Atom(absl::string_view expression) {
    atom_start_ = out_.size();
    absl::StrAppend(&out_, expression);
  }

  absl::Status Step() {
    switch (in_[pos_]) {
      case '\\':
        return Escape();
      case '[': {
        ASSIGN_OR_RETURN(const CharSet set, Class(0));
        Atom(ToExpression(set));
        return absl::OkStatus();
      }
      case '(':
        OpenGroup();
        return absl::OkStatus();
      case ')':
        ++pos_;
        atom_start_ = groups_.empty() ? out_.size() : groups_.back();
        if (!groups_.empty()) groups_.pop_back();
        out_.push_back(')');
        return absl::OkStatus();
      case '{':
        Interval();
        return absl::OkStatus();
      case '*':
      case '+':
      case '?':
        out_.push_back(in_[pos_++]);
        return absl::OkStatus();
      default:
        Literal();
        return absl::OkStatus();
    }
  }

  void Literal() {
    const size_t length = Utf8Length(static_cast<unsigned char>(in_[pos_]));
    Atom(in_.substr(pos_, length));
    pos_ += length;
  }

  void OpenGroup() {
    groups_.push_back(out_.size());
    ++pos_;
    out_.push_back('(');
    if (!Peek("?")) return;
    size_t end = pos_ + 1;
    while (end < in_.size() && (absl::ascii_isalpha(in_[end]) || in_[end] == '-')) ++end;
    const bool is_option_list = end < in_.size() && (in_[end] == ':' || in_[end] == ')');
    if (!is_option_list) {
      out_.push_back('?');
      ++pos_;
      return;
    }
    // Ruby's m is PCRE2's s; multi-line anchors are always on.
    for (; pos_ < end; ++pos_) out_.push_back(in_[pos_] == 'm' ? 's' : in_[pos_]);
  }

  // {n,m} after an atom; any other brace is a literal in both dialects.
  void Interval() {
    size_t end = pos_ + 1;
    while (end < in_.size() && (absl::ascii_isdigit(in_[end]) || in_[end] == ',')) ++end;
    const absl::string_view body = in_.substr(pos_ + 1, end - pos_ - 1);
    if (end >= in_.size() || in_[end] != '}' || body.empty() || body == ",") {
      Atom("\\{");
      ++pos_;
      return;
    }
    absl::StrAppend(&out_, "{", body[0] == ',' ? "0" : "", body, "}");
    pos_ = end + 1;
    if (Peek("+")) {
      out_.insert(atom_start_, "(?:");
      out_.push_back(')');
    }
  }

  absl::Status Escape() {
    CharSet set;
    bool is_set = false;
    std::string other;
    RETURN_IF_ERROR(ReadEscape(&set, &is_set, &other));
    Atom(is_set ? ToExpression(set) : other);
    return absl::OkStatus();
  }

  // Reads one escape. A character class becomes `set`; anything else is passed on in `other`.
  absl::Status ReadEscape(CharSet* set, bool* is_set, std::string* other) {
    if (pos_ + 1 >= in_.size()) return Error("the pattern ends inside an escape");
    const char kind = in_[pos_ + 1];
    *is_set = true;
    set->negated = absl::ascii_isupper(static_cast<unsigned char>(kind));
    switch (absl::ascii_tolower(static_cast<unsigned char>(kind))) {
      case 's':
        set->items = std::string(SpaceItems());
        break;
      case 'w':
        set->items = WordItems();
        break;
      case 'd':
        set->items = PropertyItems("Nd");
        break;
      case 'h':
        set->items = "0-9a-fA-F";
        break;
      case 'p':
        return ReadProperty(set);
      default:
        *is_set = false;
        return ReadPlainEscape(other);
    }
    pos_ += 2;
    return absl::OkStatus();
  }

  absl::Status ReadProperty(CharSet* set) {
    const size_t close = in_.find('}', pos_);
    if (pos_ + 2 >= in_.size() || in_[pos_ + 2] != '{' || close == absl::string_view::npos) {
      return Error("\\p needs a {Property}");
    }
    absl::string_view name = in_.substr(pos_ + 3, close - pos_ - 3);
    if (!name.empty() && name[0] == '^') {
      set->negated = !set->negated;
      name.remove_prefix(1);
    }
    set->items = PropertyItems(name);
    pos_ = close + 1;
    return absl::OkStatus();
  }

  absl::Status ReadPlainEscape(std::string* other) {
    if (in_[pos_ + 1] == 'u') {
      const absl::string_view digits = in_.substr(pos_ + 2, 4);
      for (const char c : digits) {
        if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return Error("\\u needs four hexadecimal digits");
      }
      if (digits.size() != 4) return Error("\\u needs four hexadecimal digits");
      *other = absl::StrCat("\\x{", digits, "}");
      pos_ += 6;
      return absl::OkStatus();
    }
    const size_t length = 1 + Utf8Length(static_cast<unsigned char>(in_[pos_ + 1]));
    *other = std::string(in_.substr(pos_, length));
    pos_ += length;
    // The digits of \x41 and \x{1F600} are part of the escape.
    if (*other == "\\x") {
      size_t end = pos_;
      if (Peek("{")) {
        end = std::min(in_.find('}', pos_), in_.size() - 1) + 1;
      } else {
        while (end < in_.size() && end < pos_ + 2 && absl::ascii_isxdigit(static_cast<unsigned char>(in_[end]))) ++end;
      }
      absl::StrAppend(other, in_.substr(pos_, end - pos_));
      pos_ = end;
    }
    return absl::OkStatus();
  }

  // Reads a class from its '[' to its ']'.
  absl::StatusOr<CharSet> Class(int depth) {
    if (depth > kMaxNesting) return Error("classes are nested too deeply");
    ++pos_;
    const bool negated = Consume("^");
    CharSet set;
    std::vector<std::string> intersected;
    for (bool first = true;; first = false) {
      if (pos_ >= in_.size()) return Error("a class is not closed by ]");
      if (!first && Consume("]")) break;
      if (Consume("&&")) {
        intersected.push_back(ToExpression(set));
        set = CharSet();
        continue;
      }
      RETURN_IF_ERROR(ClassItem(depth, &set));
    }
    if (!intersected.empty()) {
      std::string all;
      for (const std::string& expression : intersected) absl::StrAppend(&all, "(?=", expression, ")");
      all = absl::StrCat("(?:", all, ToExpression(set), ")");
      set = CharSet{"", {all}};
    }
    set.negated = negated;
    return set;
  }

  static void Add(const CharSet& part, CharSet* set) {
    if (part.negated || !part.others.empty()) {
      set->others.push_back(ToExpression(part));
    } else {
      absl::StrAppend(&set->items, part.items);
    }
  }

  absl::Status ClassItem(int depth, CharSet* set) {
    if (Peek("[:")) {
      return PosixClass(set);
    }
    if (Peek("[")) {
      ASSIGN_OR_RETURN(const CharSet nested, Class(depth + 1));
      Add(nested, set);
      return absl::OkStatus();
    }
    if (Peek("\\")) {
      CharSet part;
      bool is_set = false;
      std::string other;
      RETURN_IF_ERROR(ReadEscape(&part, &is_set, &other));
      if (is_set) {
        Add(part, set);
      } else {
        absl::StrAppend(&set->items, other);
      }
      return absl::OkStatus();
    }
    // A hyphen stays as it is: a range in the middle, a literal at the border, in both dialects.
    if (Consume("-")) {
      absl::StrAppend(&set->items, Peek("]") || set->items.empty() ? "\\-" : "-");
      return absl::OkStatus();
    }
    size_t next = pos_;
    const uint32_t code_point = NextCodePoint(in_, &next);
    absl::StrAppend(&set->items, CodePointItem(code_point));
    pos_ = next;
    return absl::OkStatus();
  }

  absl::Status PosixClass(CharSet* set) {
    const size_t close = in_.find(":]", pos_);
    if (close == absl::string_view::npos) return Error("a POSIX class is not closed by :]");
    const absl::string_view whole = in_.substr(pos_, close + 2 - pos_);
    absl::StrAppend(&set->items, whole == "[:space:]" ? SpaceItems() : whole);
    pos_ = close + 2;
    return absl::OkStatus();
  }

  absl::string_view in_;
  size_t pos_ = 0;
  std::string out_;
  size_t atom_start_ = 0;       // where the expression that a quantifier would repeat begins in out_
  std::vector<size_t> groups_;  // starts of the open groups in out_
};

}  // namespace

absl::StatusOr<std::string> TranslateOnigurumaRegex(absl::string_view pattern) {
  if (!IsValidUtf8(pattern)) {
    return absl::InvalidArgumentError("a regex is not valid UTF-8");
  }
  return Translator(pattern).Run();
}

std::string EscapeRegex(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_ispunct(static_cast<unsigned char>(c))) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

}  // namespace tandem::model::tokenizer

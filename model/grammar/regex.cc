#include "model/grammar/regex.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "model/grammar/code_points.h"

namespace tandem::grammar {
namespace {

const CodePoints kAsciiDigits = {{'0', '9'}};
const CodePoints kAsciiWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CodePoints kAsciiSpace = {{'\t', '\r'}, {' ', ' '}};
// What any dialect calls space.
const CodePoints kAnySpace = {{0x09, 0x0D},     {0x1C, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                              {0x1680, 0x1680}, {0x180E, 0x180E}, {0x2000, 0x200A}, {0x2028, 0x2029},
                              {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const CodePoints kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

CodePoints AsciiComplement(const CodePoints& set) {
  CodePoints with_rest = set;
  with_rest.push_back({0x80, kMaxCodePoint});
  return Complement(std::move(with_rest));
}

class RegexParser {
 public:
  explicit RegexParser(absl::string_view pattern) : pattern_(pattern), rest_(pattern) {}

  absl::StatusOr<Expression> Run() {
    if (absl::ConsumePrefix(&rest_, "(?i)")) ignore_case_ = true;
    ASSIGN_OR_RETURN(Expression whole, Alternatives(0));
    if (!rest_.empty()) return Error("a ')' that closes nothing");
    return whole;
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("regular expression, at byte ", pattern_.size() - rest_.size(), ": ", what));
  }

  bool Take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  absl::StatusOr<Expression> Alternatives(int depth) {
    constexpr int kMaxDepth = 100;
    if (depth > kMaxDepth) return Error("groups are nested too deeply");
    std::vector<Expression> alternatives;
    do {
      std::vector<Expression> parts;
      while (!rest_.empty() && rest_[0] != '|' && rest_[0] != ')') {
        ASSIGN_OR_RETURN(Expression part, Quantified(depth));
        parts.push_back(std::move(part));
      }
      alternatives.push_back(Expression::Sequence(std::move(parts)));
    } while (Take('|'));
    return Expression::OneOf(std::move(alternatives));
  }

  absl::StatusOr<Expression> Quantified(int depth) {
    ASSIGN_OR_RETURN(Expression atom, Atom(depth));
    const bool is_anchor =
        atom.node().kind == Expression::Kind::kAtBegin || atom.node().kind == Expression::Kind::kAtEnd;
    uint32_t min = 1;
    uint32_t max = 1;
    ASSIGN_OR_RETURN(const bool found, Quantifier(min, max));
    if (!found) return atom;
    if (is_anchor) return Error("nothing to repeat");
    Take('?');  // lazy: the same texts
    if (Take('+')) return Error("possessive quantifiers are not supported");
    uint32_t unused = 0;
    ASSIGN_OR_RETURN(const bool again, Quantifier(unused, unused));
    if (again) return Error("a quantifier after a quantifier");
    return Expression::Repeat(std::move(atom), min, max);
  }

  absl::StatusOr<bool> Quantifier(uint32_t& min, uint32_t& max) {
    if (Take('*')) {
      min = 0;
      max = kUnbounded;
    } else if (Take('+')) {
      min = 1;
      max = kUnbounded;
    } else if (Take('?')) {
      min = 0;
      max = 1;
    } else if (!rest_.empty() && rest_[0] == '{') {
      return Bounds(min, max);
    } else {
      return false;
    }
    return true;
  }

  // {n}, {n,} or {n,m}; anything else that begins with a brace is plain text.
  absl::StatusOr<bool> Bounds(uint32_t& min, uint32_t& max) {
    constexpr uint32_t kMaxCount = 10'000;
    const size_t end = rest_.find('}');
    if (end == absl::string_view::npos) return false;
    const absl::string_view inside = rest_.substr(1, end - 1);
    const size_t comma = inside.find(',');
    const absl::string_view low = inside.substr(0, comma);
    const absl::string_view high = comma == absl::string_view::npos ? low : inside.substr(comma + 1);
    const auto is_number = [](absl::string_view text) {
      return !text.empty() && text.find_first_not_of("0123456789") == absl::string_view::npos;
    };
    if (low.empty() && comma != absl::string_view::npos && is_number(high)) {
      return Error("write {0,n} instead of {,n}: dialects differ on it");
    }
    if (!is_number(low) || !(high.empty() || is_number(high))) return false;
    const bool fits = absl::SimpleAtoi(low, &min) && (high.empty() || absl::SimpleAtoi(high, &max));
    if (high.empty()) max = kUnbounded;
    if (!fits || min > kMaxCount || (max != kUnbounded && max > kMaxCount)) return Error("the count is too large");
    if (min > max) return Error("the counts of a quantifier are the wrong way round");
    rest_.remove_prefix(end + 1);
    return true;
  }

  absl::StatusOr<Expression> Atom(int depth) {
    switch (rest_[0]) {
      case '(':
        return Group(depth);
      case '[':
        return Class();
      case '^':
        Take('^');
        return Expression::AtBegin();
      case '$':
        Take('$');
        return Expression::AtEnd();
      case '.':
        Take('.');
        return Utf8(Complement(kLineEnds));
      case '*':
      case '+':
      case '?':
        return Error("nothing to repeat");
      case '\\': {
        ASSIGN_OR_RETURN(CodePoints set, Escape(/*in_class=*/false));
        return Set(std::move(set));
      }
      default:
        break;
    }
    const std::optional<uint32_t> c = TakeCodePoint(rest_);
    if (!c) return Error("not valid UTF-8");
    return Set({{*c, *c}});
  }

  Expression Set(CodePoints set) const {
    if (ignore_case_) AddOtherCases(set);
    return Utf8(set);
  }

  absl::StatusOr<Expression> Group(int depth) {
    Take('(');
    if (absl::StartsWith(rest_, "?")) {
      RETURN_IF_ERROR(GroupPrefix());
    }
    ASSIGN_OR_RETURN(Expression inside, Alternatives(depth + 1));
    if (!Take(')')) return Error("a group is not closed");
    return inside;
  }

  absl::Status GroupPrefix() {
    if (absl::ConsumePrefix(&rest_, "?:")) return absl::OkStatus();
    const bool is_look_around = absl::StartsWith(rest_, "?=") || absl::StartsWith(rest_, "?!") ||
                                absl::StartsWith(rest_, "?<=") || absl::StartsWith(rest_, "?<!");
    if (is_look_around) return Error("look-around is not supported");
    if (absl::ConsumePrefix(&rest_, "?P<") || absl::ConsumePrefix(&rest_, "?<")) {
      const size_t end = rest_.find('>');
      if (end == absl::string_view::npos) return Error("a group's name is not closed");
      rest_.remove_prefix(end + 1);
      return absl::OkStatus();
    }
    return Error("this kind of group is not supported");
  }

  absl::StatusOr<Expression> Class() {
    Take('[');
    const bool negated = Take('^');
    if (absl::StartsWith(rest_, "]")) return Error("dialects differ on an empty class; write \\] for the bracket");
    CodePoints set;
    while (!Take(']')) {
      RETURN_IF_ERROR(ClassRange(set));
    }
    if (ignore_case_) AddOtherCases(set);
    return Utf8(negated ? Complement(std::move(set)) : set);
  }

  absl::Status ClassRange(CodePoints& set) {
    ASSIGN_OR_RETURN(const CodePoints low, ClassItem());
    const bool is_range = rest_.size() >= 2 && rest_[0] == '-' && rest_[1] != ']';
    if (!is_range) {
      set.insert(set.end(), low.begin(), low.end());
      return absl::OkStatus();
    }
    Take('-');
    ASSIGN_OR_RETURN(const CodePoints high, ClassItem());
    const auto is_one = [](const CodePoints& item) { return item.size() == 1 && item[0].first == item[0].last; };
    if (!is_one(low) || !is_one(high)) return Error("a range needs a character on both sides");
    if (low[0].first > high[0].first) return Error("a range's ends are the wrong way round");
    set.push_back({low[0].first, high[0].first});
    return absl::OkStatus();
  }

  absl::StatusOr<CodePoints> ClassItem() {
    if (rest_.empty()) return Error("a class is not closed");
    if (rest_[0] == '\\') return Escape(/*in_class=*/true);
    const std::optional<uint32_t> c = TakeCodePoint(rest_);
    if (!c) return Error("not valid UTF-8");
    return CodePoints{{*c, *c}};
  }

  absl::StatusOr<CodePoints> Escape(bool in_class) {
    Take('\\');
    const std::optional<uint32_t> c = TakeCodePoint(rest_);
    if (!c) return Error("a backslash at the end");
    const auto one = [](uint32_t value) { return CodePoints{{value, value}}; };
    switch (*c) {
      case 'd':
        return kAsciiDigits;
      case 'w':
        return kAsciiWord;
      case 's':
        return kAsciiSpace;
      case 'D':
        return AsciiComplement(kAsciiDigits);
      case 'W':
        return AsciiComplement(kAsciiWord);
      case 'S':
        return Complement(kAnySpace);
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'b':
        if (in_class) return one('\b');
        return Error("word boundaries are not supported");
      case 'x':
        return Hex(2);
      case 'u':
        return Hex(4);
      default:
        break;
    }
    if (*c == '0' && (rest_.empty() || rest_[0] < '0' || rest_[0] > '9')) return one(0);
    if ('0' <= *c && *c <= '9') return Error("back references are not supported");
    if (('a' <= *c && *c <= 'z') || ('A' <= *c && *c <= 'Z')) {
      return Error(absl::StrCat("the escape \\", EncodeUtf8(*c), " is not supported"));
    }
    return one(*c);
  }

  absl::StatusOr<CodePoints> Hex(size_t digits) {
    uint32_t value = 0;
    if (rest_.size() < digits || !absl::SimpleHexAtoi(rest_.substr(0, digits), &value)) {
      return Error(absl::StrCat("an escape needs ", digits, " hexadecimal digits"));
    }
    if (0xD800 <= value && value <= 0xDFFF) return Error("a surrogate is no character");
    rest_.remove_prefix(digits);
    return CodePoints{{value, value}};
  }

  const absl::string_view pattern_;
  absl::string_view rest_;
  bool ignore_case_ = false;
};

}  // namespace

absl::StatusOr<Automaton> CompileRegex(absl::string_view pattern, RegexMatch match, Budget& budget) {
  ASSIGN_OR_RETURN(Expression expression, RegexParser(pattern).Run());
  if (match == RegexMatch::kSearch) {
    const Expression any = Expression::Repeat(Utf8({{0, kMaxCodePoint}}), 0);
    expression = Expression::Sequence({any, std::move(expression), any});
  }
  return ToAutomaton(expression, budget);
}

}  // namespace tandem::grammar

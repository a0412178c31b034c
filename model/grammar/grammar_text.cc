#include "model/grammar/grammar_text.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "model/grammar/code_points.h"
#include "model/grammar/regex.h"

namespace tandem::grammar {
namespace {

constexpr uint32_t kMaxCount = 10'000;

class GrammarTextParser {
 public:
  GrammarTextParser(absl::string_view text, GrammarBuilder& builder)
      : text_(text), rest_(text), builder_(builder), is_lark_(!absl::StrContains(text, "::=")) {}

  absl::StatusOr<Expression> Run() {
    for (SkipSpace(); !rest_.empty(); SkipSpace()) {
      RETURN_IF_ERROR(ReadRule());
    }
    const std::string start = is_lark_ ? "start" : "root";
    for (const auto& [name, rule] : rules_) {
      if (!rule.is_defined) return absl::InvalidArgumentError(absl::StrCat("grammar: rule ", name, " is not defined"));
    }
    const auto found = rules_.find(start);
    if (found == rules_.end()) return absl::InvalidArgumentError(absl::StrCat("grammar: no rule named ", start));
    return Expression::Call(found->second.id);
  }

 private:
  struct Rule {
    RuleId id = 0;
    bool is_defined = false;
  };

  absl::Status Error(absl::string_view what) const {
    const auto line = 1 + std::count(text_.begin(), text_.end() - static_cast<ptrdiff_t>(rest_.size()), '\n');
    return absl::InvalidArgumentError(absl::StrCat("grammar, line ", line, ": ", what));
  }

  bool IsNameCharacter(char c) const { return absl::ascii_isalnum(c) || c == '_' || (c == '-' && !is_lark_); }

  void SkipSpace() {
    while (!rest_.empty()) {
      if (absl::ascii_isspace(rest_[0])) {
        rest_.remove_prefix(1);
      } else if (rest_[0] == '#' || (is_lark_ && absl::StartsWith(rest_, "//"))) {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else {
        return;
      }
    }
  }

  bool Take(absl::string_view what) {
    if (!absl::ConsumePrefix(&rest_, what)) return false;
    SkipSpace();
    return true;
  }

  // The name at the front, or an empty one.
  absl::string_view PeekName() const { return NameAt(rest_); }

  absl::string_view NameAt(absl::string_view text) const {
    size_t length = 0;
    while (length < text.size() && IsNameCharacter(text[length])) ++length;
    return text.substr(0, length);
  }

  // Whether a rule begins here. Line ends mean nothing, so this is how one ends.
  bool AtRule() const {
    absl::string_view after = rest_;
    if (is_lark_ && !absl::ConsumePrefix(&after, "?")) absl::ConsumePrefix(&after, "!");
    const absl::string_view name = NameAt(after);
    if (name.empty()) return false;
    after.remove_prefix(name.size());
    if (is_lark_ && absl::ConsumePrefix(&after, ".")) {  // a priority
      while (!after.empty() && absl::ascii_isdigit(after[0])) after.remove_prefix(1);
    }
    after = absl::StripLeadingAsciiWhitespace(after);
    return absl::StartsWith(after, is_lark_ ? ":" : "::=");
  }

  RuleId IdOf(absl::string_view name) {
    const auto [found, is_new] = rules_.try_emplace(std::string(name));
    if (is_new) found->second.id = builder_.AddRule(std::string(name));
    return found->second.id;
  }

  absl::Status ReadRule() {
    if (is_lark_ && rest_[0] == '%') return Error("directives such as %ignore and %import are not supported");
    if (!AtRule()) return Error("a rule begins with its name and ::= (or : in Lark)");
    if (is_lark_ && !Take("?")) Take("!");
    const std::string name(PeekName());
    rest_.remove_prefix(name.size());
    rest_.remove_prefix(rest_.find(is_lark_ ? ':' : '=') + 1);
    SkipSpace();
    const RuleId id = IdOf(name);
    if (rules_[name].is_defined) return Error(absl::StrCat("rule ", name, " is defined twice"));
    rules_[name].is_defined = true;
    ASSIGN_OR_RETURN(Expression expression, Alternatives(0));
    builder_.Define(id, std::move(expression));
    if (!rest_.empty() && !AtRule() && rest_[0] != '%') return Error("unexpected text after a rule");
    return absl::OkStatus();
  }

  absl::StatusOr<Expression> Alternatives(int depth) {
    constexpr int kMaxDepth = 100;
    if (depth > kMaxDepth) return Error("parentheses are nested too deeply");
    std::vector<Expression> alternatives;
    do {
      std::vector<Expression> parts;
      while (AtAtom()) {
        ASSIGN_OR_RETURN(Expression part, Quantified(depth));
        parts.push_back(std::move(part));
      }
      if (is_lark_ && Take("->")) {  // an alias names a node of a parse tree
        rest_.remove_prefix(PeekName().size());
        SkipSpace();
      }
      alternatives.push_back(Expression::Sequence(std::move(parts)));
    } while (Take("|"));
    return Expression::OneOf(std::move(alternatives));
  }

  bool AtAtom() const {
    if (rest_.empty() || AtRule()) return false;
    const char c = rest_[0];
    return c == '"' || c == '(' || c == '[' || IsNameCharacter(c) || c == (is_lark_ ? '/' : '.');
  }

  absl::StatusOr<Expression> Quantified(int depth) {
    ASSIGN_OR_RETURN(Expression atom, Atom(depth));
    uint32_t min = 1;
    uint32_t max = 1;
    if (is_lark_ && AtRule()) return atom;  // the "?" of the next rule
    if (Take("*")) {
      min = 0;
      max = kUnbounded;
    } else if (Take("+")) {
      max = kUnbounded;
    } else if (Take("?")) {
      min = 0;
    } else if (!is_lark_ && Take("{")) {
      RETURN_IF_ERROR(ReadCounts(",", min, max));
      if (!Take("}")) return Error("a { is not closed");
    } else if (is_lark_ && Take("~")) {
      RETURN_IF_ERROR(ReadCounts("..", min, max));
    }
    if (min > max) return Error("the counts of a repetition are the wrong way round");
    return Expression::Repeat(std::move(atom), min, max);
  }

  absl::Status ReadCounts(absl::string_view separator, uint32_t& min, uint32_t& max) {
    ASSIGN_OR_RETURN(min, ReadCount());
    max = min;
    if (!Take(separator)) return absl::OkStatus();
    if (!rest_.empty() && absl::ascii_isdigit(rest_[0])) {
      ASSIGN_OR_RETURN(max, ReadCount());
    } else {
      max = kUnbounded;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint32_t> ReadCount() {
    size_t length = 0;
    while (length < rest_.size() && absl::ascii_isdigit(rest_[length])) ++length;
    uint32_t count = 0;
    if (!absl::SimpleAtoi(rest_.substr(0, length), &count) || count > kMaxCount) {
      return Error(absl::StrCat("a count is a number up to ", kMaxCount));
    }
    rest_.remove_prefix(length);
    SkipSpace();
    return count;
  }

  absl::StatusOr<Expression> Atom(int depth) {
    if (rest_[0] == '"') return Literal();
    if (is_lark_ && rest_[0] == '/') return Regex();
    if (!is_lark_ && rest_[0] == '[') return Class();
    if (!is_lark_ && Take(".")) return Utf8({{0, kMaxCodePoint}});
    const bool is_optional = is_lark_ && rest_[0] == '[';
    if (is_optional || rest_[0] == '(') {
      rest_.remove_prefix(1);
      SkipSpace();
      ASSIGN_OR_RETURN(Expression inside, Alternatives(depth + 1));
      if (!Take(is_optional ? "]" : ")")) return Error("a group is not closed");
      return is_optional ? Expression::Optional(std::move(inside)) : inside;
    }
    const absl::string_view name = PeekName();
    const RuleId id = IdOf(name);
    rest_.remove_prefix(name.size());
    SkipSpace();
    return Expression::Call(id);
  }

  absl::StatusOr<Expression> Literal() {
    rest_.remove_prefix(1);
    CodePoints characters;
    while (!absl::StartsWith(rest_, "\"")) {
      ASSIGN_OR_RETURN(const uint32_t c, Character());
      characters.push_back({c, c});
    }
    rest_.remove_prefix(1);
    const bool ignore_case = is_lark_ && absl::ConsumePrefix(&rest_, "i");
    SkipSpace();
    std::vector<Expression> parts;
    for (const CodePointRange& character : characters) {
      CodePoints set = {character};
      if (ignore_case) AddOtherCases(set);
      parts.push_back(Utf8(set));
    }
    return Expression::Sequence(std::move(parts));
  }

  absl::StatusOr<Expression> Class() {
    rest_.remove_prefix(1);
    const bool negated = absl::ConsumePrefix(&rest_, "^");
    CodePoints set;
    while (!absl::StartsWith(rest_, "]")) {
      ASSIGN_OR_RETURN(const uint32_t first, Character());
      uint32_t last = first;
      if (absl::StartsWith(rest_, "-") && !absl::StartsWith(rest_, "-]")) {
        rest_.remove_prefix(1);
        ASSIGN_OR_RETURN(last, Character());
      }
      if (first > last) return Error("a range's ends are the wrong way round");
      set.push_back({first, last});
    }
    rest_.remove_prefix(1);
    SkipSpace();
    return Utf8(negated ? Complement(std::move(set)) : set);
  }

  absl::StatusOr<Expression> Regex() {
    size_t end = 1;
    while (end < rest_.size() && rest_[end] != '/') end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) return Error("a regular expression is not closed");
    std::string pattern(rest_.substr(1, end - 1));
    absl::string_view after = rest_.substr(end + 1);
    if (absl::ConsumePrefix(&after, "i")) pattern = "(?i)" + pattern;
    absl::StatusOr<Automaton> automaton = CompileRegex(pattern, RegexMatch::kWhole, builder_.budget());
    if (!automaton.ok()) return Error(automaton.status().message());
    rest_ = after;
    SkipSpace();
    return Expression::Matching(*std::move(automaton));
  }

  // A character of a literal or a class, maybe escaped.
  absl::StatusOr<uint32_t> Character() {
    if (rest_.empty() || rest_[0] == '\n') return Error("a literal or class is not closed");
    if (!absl::ConsumePrefix(&rest_, "\\")) {
      const std::optional<uint32_t> c = TakeCodePoint(rest_);
      if (!c) return Error("not valid UTF-8");
      return *c;
    }
    constexpr std::pair<char, size_t> kHexEscapes[] = {{'x', 2}, {'u', 4}, {'U', 8}};
    for (const auto& [letter, digits] : kHexEscapes) {
      if (!absl::StartsWith(rest_, absl::string_view(&letter, 1))) continue;
      uint32_t value = 0;
      const bool valid = rest_.size() > digits && absl::SimpleHexAtoi(rest_.substr(1, digits), &value);
      if (!valid || value > kMaxCodePoint) return Error("an escape has too few hexadecimal digits");
      rest_.remove_prefix(digits + 1);
      return value;
    }
    constexpr std::pair<char, char> kEscapes[] = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}};
    for (const auto& [letter, value] : kEscapes) {
      if (absl::ConsumePrefix(&rest_, absl::string_view(&letter, 1))) return static_cast<uint32_t>(value);
    }
    if (rest_.empty() || absl::ascii_isalnum(rest_[0])) return Error("an unknown escape");
    const auto c = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return c;
  }

  const absl::string_view text_;
  absl::string_view rest_;
  GrammarBuilder& builder_;
  const bool is_lark_;
  std::map<std::string, Rule> rules_;
};

}  // namespace

absl::StatusOr<Expression> GrammarText(absl::string_view text, GrammarBuilder& builder) {
  return GrammarTextParser(text, builder).Run();
}

}  // namespace tandem::grammar

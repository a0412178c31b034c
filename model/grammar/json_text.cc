#include "model/grammar/json_text.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/grammar/plain_text.h"

namespace tandem::grammar {
namespace {

Expression PlainCharacter() {
  std::vector<Expression> sequences;
  for (const Utf8Sequence& sequence : kPlainCharacters) {
    std::vector<Expression> bytes;
    for (int i = 0; i < sequence.length; ++i) {
      bytes.push_back(Expression::Bytes(sequence.bytes[i][0], sequence.bytes[i][1]));
    }
    sequences.push_back(Expression::Sequence(std::move(bytes)));
  }
  return Expression::OneOf(std::move(sequences));
}

Expression AnyOfBytes(absl::string_view bytes) {
  std::vector<Expression> alternatives;
  for (const char c : bytes) alternatives.push_back(Expression::Literal(absl::string_view(&c, 1)));
  return Expression::OneOf(std::move(alternatives));
}

// One code point, plain or escaped; surrogates in pairs.
Expression Character() {
  const Expression hex =
      Expression::OneOf({Expression::Bytes('0', '9'), Expression::Bytes('a', 'f'), Expression::Bytes('A', 'F')});
  const Expression d = AnyOfBytes("dD");
  const Expression not_surrogate = Expression::OneOf(
      {Expression::Sequence({Expression::OneOf({Expression::Bytes('0', '9'), AnyOfBytes("abcefABCEF")}), hex}),
       Expression::Sequence({d, Expression::Bytes('0', '7')})});
  const Expression pair = Expression::Sequence(
      {d, AnyOfBytes("89abAB"), hex, hex, Expression::Literal("\\u"), d, AnyOfBytes("cdefCDEF"), hex, hex});
  const Expression unicode = Expression::Sequence(
      {Expression::Literal("u"), Expression::OneOf({Expression::Sequence({not_surrogate, hex, hex}), pair})});
  const Expression escape =
      Expression::Sequence({Expression::Literal("\\"), Expression::OneOf({AnyOfBytes("\"\\/bfnrt"), unicode})});
  return Expression::OneOf({PlainCharacter(), escape});
}

// How a string writes a byte that cannot stand for itself; empty for the others.
std::string EscapeOf(int byte) {
  switch (byte) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return byte < 0x20 ? absl::StrCat("\\u00", absl::Hex(byte, absl::kZeroPad2)) : "";
  }
}

Expression Quoted(Expression content) {
  return Expression::Sequence({Expression::Literal("\""), std::move(content), Expression::Literal("\"")});
}

// open [item {comma item}] close
Expression List(const char* open, const Expression& item, const char* close) {
  const Expression more = Expression::Repeat(Expression::Sequence({JsonText::Comma(), item}), 0);
  return Expression::Sequence({Expression::Literal(open), Expression::Optional(Expression::Sequence({item, more})),
                               Expression::Literal(close)});
}

}  // namespace

Expression JsonText::Comma() {
  return Expression::Sequence({Expression::Literal(","), Expression::Optional(Expression::Literal(" "))});
}

Expression JsonText::Colon() {
  return Expression::Sequence({Expression::Literal(":"), Expression::Optional(Expression::Literal(" "))});
}

Expression JsonText::Value(const Json& value) {
  return Expression::Literal(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Expression JsonText::AnyString() {
  if (!string_) string_ = builder_->Rule("string", Quoted(Expression::Repeat(Character(), 0)));
  return *string_;
}

Expression JsonText::StringOfLength(uint32_t min, uint32_t max) {
  if (min == 0 && max == kUnbounded) return AnyString();
  return Quoted(builder_->Counted("characters", Character(), min, max));
}

absl::StatusOr<Expression> JsonText::StringMatching(const Automaton& content) {
  Nfa nfa;
  nfa.states.resize(content.states.size());
  nfa.accept = nfa.AddState();
  for (StateId id = 0; id < content.states.size(); ++id) {
    if (content.states[id].accepts) nfa.AddEpsilon(id, nfa.accept);
    for (const Automaton::Edge& edge : content.states[id].edges) {
      RETURN_IF_ERROR(builder_->budget().Spend(1));
      for (int byte = edge.first; byte <= edge.last; ++byte) {
        const std::string escape = EscapeOf(byte);
        const std::string text = escape.empty() ? std::string(1, static_cast<char>(byte)) : escape;
        StateId from = id;
        for (size_t i = 0; i < text.size(); ++i) {
          const StateId to = i + 1 == text.size() ? edge.target : nfa.AddState();
          const auto c = static_cast<uint8_t>(text[i]);
          nfa.states[from].push_back({Nfa::Kind::kBytes, c, c, 0, to});
          from = to;
        }
      }
    }
  }
  ASSIGN_OR_RETURN(Automaton spelled, Determinize(nfa, builder_->budget()));
  return Quoted(Expression::Matching(std::move(spelled)));
}

absl::StatusOr<Expression> JsonText::Number(const NumberBounds& bounds) {
  std::optional<Expression>& shared = bounds.integer ? integer_ : number_;
  if (!bounds.is_bounded() && shared) return *shared;
  ASSIGN_OR_RETURN(Automaton automaton, NumberAutomaton(bounds, builder_->budget()));
  Expression expression = Expression::Matching(std::move(automaton));
  if (bounds.is_bounded() || expression.is_nothing()) return expression;
  shared = builder_->Rule(bounds.integer ? "integer" : "number", std::move(expression));
  return *shared;
}

absl::StatusOr<Expression> JsonText::AnyValue(int depth) {
  if (!values_[depth]) {
    ASSIGN_OR_RETURN(Expression number, Number({}));
    std::vector<Expression> kinds = {Expression::Literal("null"), Expression::Literal("true"),
                                     Expression::Literal("false"), AnyString(), std::move(number)};
    if (depth < kMaxDepth) {
      ASSIGN_OR_RETURN(Expression object, AnyObject(depth));
      ASSIGN_OR_RETURN(Expression array, AnyArray(depth));
      kinds.push_back(std::move(object));
      kinds.push_back(std::move(array));
    }
    values_[depth] = builder_->Rule("value", Expression::OneOf(std::move(kinds)));
  }
  return *values_[depth];
}

absl::StatusOr<Expression> JsonText::AnyObject(int depth) {
  if (!objects_[depth]) {
    ASSIGN_OR_RETURN(Expression value, AnyValue(depth + 1));
    objects_[depth] =
        builder_->Rule("object", List("{", Expression::Sequence({AnyString(), Colon(), std::move(value)}), "}"));
  }
  return *objects_[depth];
}

absl::StatusOr<Expression> JsonText::AnyArray(int depth) {
  if (!arrays_[depth]) {
    ASSIGN_OR_RETURN(Expression value, AnyValue(depth + 1));
    arrays_[depth] = builder_->Rule("array", List("[", value, "]"));
  }
  return *arrays_[depth];
}

}  // namespace tandem::grammar

#include "model/grammar/json_schema.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/grammar/regex.h"
#include "model/grammar/schema_compiler.h"

namespace tandem::grammar {
namespace {

constexpr SchemaType kTypeOrder[] = {kObjectType,  kArrayType,   kStringType, kNumberType,
                                     kIntegerType, kBooleanType, kNullType};

// Strings of `contents` with so many code points.
absl::StatusOr<Automaton> WithLength(const Automaton& contents, uint32_t min, uint32_t max, Budget& budget) {
  struct State {
    StateId at = 0;
    uint32_t length = 0;
    bool operator<(const State& other) const { return std::tie(at, length) < std::tie(other.at, other.length); }
  };
  const auto step = [&](State state, uint8_t byte) -> std::optional<State> {
    const std::optional<StateId> next = contents.Next(state.at, byte);
    const bool begins_character = (byte & 0xC0) != 0x80;
    if (!next || (begins_character && state.length == max)) return std::nullopt;
    const bool counts = begins_character && (max != kUnbounded || state.length < min);
    return State{*next, state.length + (counts ? 1 : 0)};
  };
  const auto accepts = [&](State state) { return contents.states[state.at].accepts && state.length >= min; };
  return BuildAutomaton(State{}, step, accepts, budget);
}

bool HaveCommonValue(const std::vector<const Json*>& a, const std::vector<const Json*>& b) {
  return std::any_of(a.begin(), a.end(), [&](const Json* x) {
    return std::any_of(b.begin(), b.end(), [&](const Json* y) { return *x == *y; });
  });
}

// The types as they overlap: every integer is a number.
uint8_t Widened(uint8_t types) { return (types & kNumberType) != 0 ? types | kIntegerType : types; }

uint8_t TypesOf(const SchemaFacts& facts) {
  if (!facts.values) return Widened(facts.types);
  uint8_t types = 0;
  for (const Json* value : *facts.values) types |= TypeOfValue(*value);
  return types & Widened(facts.types);
}

// The schemas of a property in all schemas of `facts`.
Conjunction PropertyParts(const SchemaFacts& facts, const std::string& name) {
  Conjunction parts;
  for (const ObjectFacts& object : facts.objects) {
    if (object.properties == nullptr) continue;
    const auto found = object.properties->find(name);
    if (found != object.properties->end()) {
      parts.push_back({&*found, Below(object.pointer + "/properties", name)});
    }
  }
  return parts;
}

Decimal ToDecimal(const Json& number) {
  if (number.is_number_unsigned()) return Decimal::FromUint(number.get<uint64_t>());
  if (number.is_number_integer()) return Decimal::FromInt(number.get<int64_t>());
  return Decimal::FromDouble(number.get<double>());
}

bool IsWithin(const NumberBounds& bounds, const Json& number) {
  const Decimal value = ToDecimal(number);
  if (bounds.min && (value < *bounds.min || (value == *bounds.min && bounds.min_exclusive))) return false;
  if (bounds.max && (*bounds.max < value || (value == *bounds.max && bounds.max_exclusive))) return false;
  return bounds.multiple_of == 1 || std::fmod(number.get<double>(), bounds.multiple_of) == 0;
}

}  // namespace

absl::StatusOr<Expression> JsonSchema(const Json& schema, GrammarBuilder& builder, JsonText& text) {
  SchemaCompiler compiler(schema, builder, text);
  ASSIGN_OR_RETURN(Expression expression, compiler.Compile({{&schema, "#"}}));
  if (expression.is_nothing()) return SchemaError("#", "no value satisfies it");
  return expression;
}

absl::StatusOr<Expression> SchemaCompiler::Compile(const Conjunction& conjunction) {
  constexpr int kMaxDepth = 200;
  RETURN_IF_ERROR(builder_.budget().Spend(1000));
  ASSIGN_OR_RETURN(const SchemaFacts facts, ReadFacts(document_, conjunction));
  const std::string pointer = conjunction.empty() ? "#" : conjunction[0].pointer;
  const bool may_recur = facts.group.has_value() || !facts.objects.empty() || !facts.arrays.empty();
  if (facts.never || !may_recur) return CompileFacts(facts, pointer);

  Key key;
  for (const SchemaPart& part : conjunction) key.push_back(part.Key());
  std::sort(key.begin(), key.end());
  key.erase(std::unique(key.begin(), key.end()), key.end());
  const auto [found, is_new] = rules_.try_emplace(std::move(key), 0);
  if (!is_new) return Expression::Call(found->second);
  if (depth_ >= kMaxDepth) return SchemaError(pointer, "schemas are nested too deeply");
  const RuleId rule = found->second = builder_.AddRule(pointer);
  ++depth_;
  absl::StatusOr<Expression> expression = CompileFacts(facts, pointer);
  --depth_;
  RETURN_IF_ERROR(expression.status());
  builder_.Define(rule, *expression);
  return expression->is_nothing() ? Expression::Nothing() : Expression::Call(rule);
}

absl::StatusOr<Expression> SchemaCompiler::CompileFacts(const SchemaFacts& facts, const std::string& pointer) {
  if (facts.never) return Expression::Nothing();
  if (facts.group) return CompileGroup(facts);
  if (facts.values) return CompileValues(facts, pointer);
  uint8_t types = facts.types;
  if (types == kAllTypes) {
    if (facts.implied_types == 0) return text_.AnyValue();
    types = facts.implied_types;
  }
  if ((types & kNumberType) != 0) types &= static_cast<uint8_t>(~kIntegerType);  // every integer is written as a number
  std::vector<Expression> alternatives;
  for (const SchemaType type : kTypeOrder) {
    if ((types & type) == 0) continue;
    ASSIGN_OR_RETURN(Expression expression, CompileType(facts, type));
    alternatives.push_back(std::move(expression));
  }
  return Expression::OneOf(std::move(alternatives));
}

// One alternative after the other takes the place of the group.
absl::StatusOr<Expression> SchemaCompiler::CompileGroup(const SchemaFacts& facts) {
  Conjunction base = facts.flat;
  for (SchemaPart& part : base) part.is_flat = true;
  SchemaPart& holder = base[facts.group->part];
  (facts.group->one_of ? holder.one_of_done : holder.any_of_done) = true;
  const char* keyword = facts.group->one_of ? "oneOf" : "anyOf";
  const Json& options = (*holder.schema)[keyword];
  const std::string pointer = Below(holder.pointer, keyword);
  std::vector<Conjunction> conjunctions;
  std::vector<Expression> alternatives;
  for (size_t i = 0; i < options.size(); ++i) {
    Conjunction conjunction = base;
    conjunction.push_back({&options[i], absl::StrCat(pointer, "/", i)});
    std::rotate(conjunction.begin(), conjunction.end() - 1, conjunction.end());  // messages name the first part
    if (facts.group->one_of) {
      for (size_t j = 0; j < conjunctions.size(); ++j) {
        ASSIGN_OR_RETURN(const bool exclusive, AreExclusive(conjunctions[j], conjunction));
        if (exclusive) continue;
        return SchemaError(pointer, absl::StrCat("alternatives ", j, " and ", i,
                                                 " may both hold for one value; use anyOf, or tell them apart by "
                                                 "type or by a required property's const"));
      }
    }
    ASSIGN_OR_RETURN(Expression expression, Compile(conjunction));
    conjunctions.push_back(std::move(conjunction));
    alternatives.push_back(std::move(expression));
  }
  return Expression::OneOf(std::move(alternatives));
}

absl::StatusOr<bool> SchemaCompiler::AreExclusive(const Conjunction& a, const Conjunction& b) {
  RETURN_IF_ERROR(builder_.budget().Spend(1000));
  ASSIGN_OR_RETURN(const SchemaFacts x, ReadFacts(document_, a));
  ASSIGN_OR_RETURN(const SchemaFacts y, ReadFacts(document_, b));
  if (x.never || y.never) return true;
  const uint8_t common = TypesOf(x) & TypesOf(y);
  if (common == 0) return true;
  if (x.values && y.values && !HaveCommonValue(*x.values, *y.values)) return true;
  if (common != kObjectType) return false;
  std::vector<std::string> names = x.required;
  names.insert(names.end(), y.required.begin(), y.required.end());
  for (const std::string& name : names) {
    const Conjunction in_x = PropertyParts(x, name);
    const Conjunction in_y = PropertyParts(y, name);
    if (in_x.empty() || in_y.empty()) continue;
    ASSIGN_OR_RETURN(const SchemaFacts values_x, ReadFacts(document_, in_x));
    ASSIGN_OR_RETURN(const SchemaFacts values_y, ReadFacts(document_, in_y));
    if ((TypesOf(values_x) & TypesOf(values_y)) == 0) return true;
    if (values_x.values && values_y.values && !HaveCommonValue(*values_x.values, *values_y.values)) return true;
  }
  return false;
}

absl::StatusOr<Expression> SchemaCompiler::CompileValues(const SchemaFacts& facts, const std::string& pointer) {
  std::vector<Expression> alternatives;
  for (const Json* value : *facts.values) {
    ASSIGN_OR_RETURN(const bool allowed, Allows(facts, *value, pointer));
    if (allowed) alternatives.push_back(JsonText::Value(*value));
  }
  return Expression::OneOf(std::move(alternatives));
}

// Whether a value of "enum" satisfies the other keywords.
absl::StatusOr<bool> SchemaCompiler::Allows(const SchemaFacts& facts, const Json& value, const std::string& pointer) {
  const uint8_t type = TypeOfValue(value);
  if ((Widened(facts.types) & type) == 0) return false;
  if ((facts.implied_types & type) == 0) return true;
  if (value.is_number()) return IsWithin(facts.bounds, value);
  if (!value.is_string()) {
    return SchemaError(pointer, "enum or const together with keywords about objects or arrays is not supported");
  }
  ASSIGN_OR_RETURN(const std::optional<Automaton> contents, StringContents(facts));
  const std::string content = value.get<std::string>();
  const auto length = static_cast<uint32_t>(
      std::count_if(content.begin(), content.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
  if (length < facts.min_length || length > facts.max_length) return false;
  return !contents || contents->Matches(content);
}

absl::StatusOr<Expression> SchemaCompiler::CompileType(const SchemaFacts& facts, SchemaType type) {
  switch (type) {
    case kNullType:
      return Expression::Literal("null");
    case kBooleanType:
      return Expression::OneOf({Expression::Literal("true"), Expression::Literal("false")});
    case kIntegerType:
      return CompileNumber(facts, /*integer=*/true);
    case kNumberType:
      return CompileNumber(facts, /*integer=*/false);
    case kStringType:
      return CompileString(facts);
    case kArrayType:
      return CompileArray(facts);
    case kObjectType:
      return (facts.implied_types & kObjectType) != 0 ? CompileObject(*this, facts) : text_.AnyObject();
    case kAllTypes:
      break;
  }
  return absl::InternalError("not a type");
}

absl::StatusOr<Expression> SchemaCompiler::CompileNumber(const SchemaFacts& facts, bool integer) {
  NumberBounds bounds = facts.bounds;
  bounds.integer = integer;
  ASSIGN_OR_RETURN(Expression expression, text_.Number(bounds));
  if (expression.is_nothing()) {
    return SchemaError(facts.bounds_pointer, absl::StrCat("no number of up to ", kMaxNumberDigits, " digits fits"));
  }
  return expression;
}

absl::StatusOr<const Automaton*> SchemaCompiler::Pattern(const std::string& pattern, bool is_format,
                                                         const std::string& pointer) {
  const auto found = patterns_.find({pattern, is_format});
  if (found != patterns_.end()) return &found->second;
  absl::StatusOr<Automaton> automaton =
      CompileRegex(pattern, is_format ? RegexMatch::kWhole : RegexMatch::kSearch, builder_.budget());
  if (!automaton.ok()) return SchemaError(pointer, automaton.status().message());
  return &patterns_.emplace(std::make_pair(pattern, is_format), *std::move(automaton)).first->second;
}

absl::StatusOr<std::optional<Automaton>> SchemaCompiler::StringContents(const SchemaFacts& facts) {
  std::optional<Automaton> contents;
  for (const PatternFact& fact : facts.patterns) {
    ASSIGN_OR_RETURN(const Automaton* pattern, Pattern(fact.pattern, fact.is_format, fact.pointer));
    if (!contents) {
      contents = *pattern;
      continue;
    }
    ASSIGN_OR_RETURN(contents, Intersect(*contents, *pattern, builder_.budget()));
  }
  return contents;
}

absl::StatusOr<Expression> SchemaCompiler::CompileString(const SchemaFacts& facts) {
  if (facts.min_length > facts.max_length) return Expression::Nothing();
  ASSIGN_OR_RETURN(std::optional<Automaton> contents, StringContents(facts));
  if (!contents) return text_.StringOfLength(facts.min_length, facts.max_length);
  if (facts.min_length > 0 || facts.max_length != kUnbounded) {
    ASSIGN_OR_RETURN(contents, WithLength(*contents, facts.min_length, facts.max_length, builder_.budget()));
  }
  return text_.StringMatching(*contents);
}

absl::StatusOr<Expression> SchemaCompiler::CompileArray(const SchemaFacts& facts) {
  if (facts.unique_items && facts.max_items > 1) {
    return SchemaError(facts.unique_items_pointer, "uniqueItems is not supported");
  }
  if (facts.min_items > facts.max_items) return Expression::Nothing();
  size_t prefix = 0;
  for (const ArrayFacts& array : facts.arrays) prefix = std::max(prefix, array.prefix.size());
  // The item at a place: what each schema says about it.
  const auto item_at = [&](size_t index) {
    Conjunction parts;
    for (const ArrayFacts& array : facts.arrays) {
      if (index < array.prefix.size()) {
        parts.push_back(array.prefix[index]);
      } else if (array.items) {
        parts.push_back(*array.items);
      }
    }
    return parts;
  };
  GraphExpression graph;
  uint32_t at = graph.AddNode();
  std::vector<uint32_t> ends;  // nodes after which the array may end
  if (facts.min_items == 0) ends.push_back(at);
  for (size_t i = 0; i < prefix && i < facts.max_items; ++i) {
    ASSIGN_OR_RETURN(Expression item, Compile(item_at(i)));
    const uint32_t next = graph.AddNode();
    graph.AddEdge(at, next, i == 0 ? item : Expression::Sequence({JsonText::Comma(), item}));
    at = next;
    if (i + 1 >= facts.min_items) ends.push_back(at);
  }
  // A list of places gets further items only where they are asked for.
  const bool is_open = prefix == 0 || facts.min_items > prefix ||
                       std::any_of(facts.arrays.begin(), facts.arrays.end(),
                                   [](const ArrayFacts& array) { return array.items.has_value(); });
  if (is_open && facts.max_items > prefix) {
    ASSIGN_OR_RETURN(Expression item, Compile(item_at(prefix)));
    if (item.node().kind != Expression::Kind::kCall && !item.is_nothing()) item = builder_.Rule("item", item);
    auto left = static_cast<uint32_t>(facts.max_items == kUnbounded ? kUnbounded : facts.max_items - prefix);
    auto missing = static_cast<uint32_t>(facts.min_items > prefix ? facts.min_items - prefix : 0);
    if (prefix == 0) {
      const uint32_t next = graph.AddNode();
      graph.AddEdge(at, next, item);
      at = next;
      left -= left == kUnbounded ? 0 : 1;
      missing -= missing == 0 ? 0 : 1;
    }
    const Expression further = Expression::Sequence({JsonText::Comma(), item});
    const uint32_t next = graph.AddNode();
    const bool is_plain = missing == 0 && left == kUnbounded;
    graph.AddEdge(at, next,
                  is_plain ? Expression::Repeat(further, 0) : builder_.Counted("items", further, missing, left));
    ends.push_back(next);
  }
  const uint32_t end = graph.AddNode();
  for (const uint32_t node : ends) graph.AddEdge(node, end, Expression::Empty());
  return Expression::Sequence({Expression::Literal("["), std::move(graph).Build(), Expression::Literal("]")});
}

}  // namespace tandem::grammar

// The object part of the schema compiler.
#include <algorithm>
#include <utility>

#include "model/grammar/code_points.h"
#include "model/grammar/schema_compiler.h"

namespace tandem::grammar {
namespace {

struct Property {
  std::string name;
  bool required = false;
  Expression value = Expression::Nothing();
};

class ObjectCompiler {
 public:
  ObjectCompiler(SchemaCompiler& compiler, const SchemaFacts& facts) : compiler_(compiler), facts_(facts) {}

  absl::StatusOr<Expression> Run() {
    RETURN_IF_ERROR(ReadNames());
    for (const std::string& name : names_) {
      RETURN_IF_ERROR(AddProperty(name));
    }
    if (is_impossible_) return Expression::Nothing();
    ASSIGN_OR_RETURN(further_, FurtherMember());
    return Graph();
  }

 private:
  // All names that the schemas give, in their order.
  absl::Status ReadNames() {
    const auto add = [&](const std::string& name) {
      if (std::find(names_.begin(), names_.end(), name) == names_.end()) names_.push_back(name);
    };
    for (const ObjectFacts& object : facts_.objects) {
      if (object.properties == nullptr) continue;
      for (const auto& [name, schema] : object.properties->items()) add(name);
      RETURN_IF_ERROR(compiler_.builder().budget().Spend(static_cast<int64_t>(names_.size() * names_.size())));
    }
    for (const std::string& name : facts_.required) add(name);
    return absl::OkStatus();
  }

  absl::Status AddProperty(const std::string& name) {
    Property property = {.name = name, .required = facts_.IsRequired(name)};
    ASSIGN_OR_RETURN(const Conjunction parts, PartsOf(name));
    ASSIGN_OR_RETURN(const bool allowed, IsAllowedName(name));
    if (allowed) {
      ASSIGN_OR_RETURN(property.value, compiler_.Compile(parts));
    }
    if (!property.value.is_nothing()) {
      properties_.push_back(std::move(property));
    } else {
      is_impossible_ = is_impossible_ || property.required;
    }
    return absl::OkStatus();
  }

  // What all schemas say about a property of this name.
  absl::StatusOr<Conjunction> PartsOf(const std::string& name) {
    Conjunction parts;
    for (const ObjectFacts& object : facts_.objects) {
      bool is_named = false;
      if (object.properties != nullptr && object.properties->contains(name)) {
        is_named = true;
        parts.push_back({&(*object.properties)[name], Below(object.pointer + "/properties", name)});
      }
      if (object.patterns != nullptr) {
        for (const auto& [pattern, schema] : object.patterns->items()) {
          const std::string pointer = Below(object.pointer + "/patternProperties", pattern);
          ASSIGN_OR_RETURN(const Automaton* automaton, compiler_.Pattern(pattern, false, pointer));
          if (!automaton->Matches(name)) continue;
          is_named = true;
          parts.push_back({&schema, pointer});
        }
      }
      if (!is_named && object.additional != nullptr) {
        parts.push_back({object.additional, object.pointer + "/additionalProperties"});
      }
    }
    return parts;
  }

  absl::StatusOr<bool> IsAllowedName(const std::string& name) {
    ASSIGN_OR_RETURN(const std::optional<Automaton> names, AllowedNames());
    return !names || names->Matches(name);
  }

  // The names that "propertyNames" allows, or nullopt for all.
  absl::StatusOr<std::optional<Automaton>> AllowedNames() {
    if (facts_.property_names.empty()) return std::optional<Automaton>();
    ASSIGN_OR_RETURN(const SchemaFacts facts, ReadFacts(compiler_.document(), facts_.property_names));
    const std::string& pointer = facts_.property_names[0].pointer;
    if (facts.group || facts.values) return SchemaError(pointer, "only pattern, format and lengths are supported here");
    if (facts.never || (facts.types & kStringType) == 0) return std::optional<Automaton>(Automaton());
    const Expression any = Expression::Repeat(AnyCharacter(), facts.min_length, facts.max_length);
    ASSIGN_OR_RETURN(Automaton names, ToAutomaton(any, compiler_.builder().budget()));
    ASSIGN_OR_RETURN(const std::optional<Automaton> contents, compiler_.StringContents(facts));
    if (contents) {
      ASSIGN_OR_RETURN(names, Intersect(names, *contents, compiler_.builder().budget()));
    }
    return std::optional<Automaton>(std::move(names));
  }

  static Expression AnyCharacter() { return Utf8({{0, kMaxCodePoint}}); }

  // A set of further names, and the schemas of their values.
  struct Names {
    Automaton automaton;
    Conjunction parts;
  };

  // `name: value` for names that are not in the schema's list.
  absl::StatusOr<Expression> FurtherMember() {
    Budget& budget = compiler_.builder().budget();
    ASSIGN_OR_RETURN(std::optional<Automaton> allowed, AllowedNames());
    if (!allowed) {
      ASSIGN_OR_RETURN(allowed, ToAutomaton(Expression::Repeat(AnyCharacter(), 0), budget));
    }
    std::vector<Expression> listed;
    for (const std::string& name : names_) listed.push_back(Expression::Literal(name));
    ASSIGN_OR_RETURN(const Automaton known, ToAutomaton(Expression::OneOf(std::move(listed)), budget));
    std::vector<Names> sets(1);
    ASSIGN_OR_RETURN(sets[0].automaton, Subtract(*allowed, known, budget));
    bool any_pattern = false;
    bool any_additional = false;
    for (const ObjectFacts& object : facts_.objects) {
      any_pattern = any_pattern || object.patterns != nullptr;
      any_additional = any_additional || object.additional != nullptr;
      RETURN_IF_ERROR(Refine(object, sets));
    }
    const bool only_matching = !any_additional && any_pattern;
    if (!any_additional && !any_pattern && !names_.empty()) return Expression::Nothing();
    std::vector<Expression> members;
    for (const Names& set : sets) {
      if (only_matching && set.parts.empty()) continue;
      if (set.automaton.IsEmpty()) continue;
      ASSIGN_OR_RETURN(Expression value, compiler_.Compile(set.parts));
      ASSIGN_OR_RETURN(Expression name, compiler_.text().StringMatching(set.automaton));
      members.push_back(Expression::Sequence({std::move(name), JsonText::Colon(), std::move(value)}));
    }
    return Expression::OneOf(std::move(members));
  }

  // Splits the sets of names by the patterns of one schema, and adds to each what that schema says about its values.
  absl::Status Refine(const ObjectFacts& object, std::vector<Names>& sets) {
    constexpr size_t kMaxSets = 32;
    Budget& budget = compiler_.builder().budget();
    struct Marked {
      Names names;
      bool is_named = false;
    };
    std::vector<Marked> marked;
    for (Names& set : sets) marked.push_back({std::move(set)});
    static const Json kNoPatterns = Json::object();
    for (const auto& [pattern, schema] : (object.patterns != nullptr ? *object.patterns : kNoPatterns).items()) {
      const std::string pointer = Below(object.pointer + "/patternProperties", pattern);
      ASSIGN_OR_RETURN(const Automaton* automaton, compiler_.Pattern(pattern, false, pointer));
      std::vector<Marked> split;
      for (Marked& set : marked) {
        Marked inside = {{{}, set.names.parts}, true};
        ASSIGN_OR_RETURN(inside.names.automaton, Intersect(set.names.automaton, *automaton, budget));
        inside.names.parts.push_back({&schema, pointer});
        ASSIGN_OR_RETURN(set.names.automaton, Subtract(set.names.automaton, *automaton, budget));
        if (!inside.names.automaton.IsEmpty()) split.push_back(std::move(inside));
        if (!set.names.automaton.IsEmpty()) split.push_back(std::move(set));
      }
      if (split.size() > kMaxSets) return SchemaError(pointer, "too many patterns overlap");
      marked = std::move(split);
    }
    sets.clear();
    for (Marked& set : marked) {
      if (!set.is_named && object.additional != nullptr) {
        set.names.parts.push_back({object.additional, object.pointer + "/additionalProperties"});
      }
      sets.push_back(std::move(set.names));
    }
    return absl::OkStatus();
  }

  // How far members are counted: as far as a bound on their number needs it, at least whether there is one.
  absl::Status ReadCounts() {
    constexpr uint32_t kMaxCounted = 64;
    const auto required = static_cast<uint32_t>(
        std::count_if(properties_.begin(), properties_.end(), [](const Property& p) { return p.required; }));
    const bool is_open = !further_.is_nothing();
    min_ = facts_.min_properties > required ? facts_.min_properties : 0;
    max_ = is_open || facts_.max_properties < properties_.size() ? facts_.max_properties : kUnbounded;
    if (min_ > kMaxCounted || (max_ != kUnbounded && max_ > kMaxCounted)) {
      return SchemaError(facts_.flat[0].pointer, "minProperties and maxProperties are supported up to 64");
    }
    cap_ = std::max({min_, max_ == kUnbounded ? 0 : max_, uint32_t{1}});
    return absl::OkStatus();
  }

  // Nodes are (property, members so far): each property is left out, or goes through a node behind its name.
  absl::StatusOr<Expression> Graph() {
    RETURN_IF_ERROR(ReadCounts());
    GraphExpression graph;
    std::vector<uint32_t> at(cap_ + 1);
    for (uint32_t& node : at) node = graph.AddNode();
    for (const Property& property : properties_) {
      std::vector<uint32_t> next(cap_ + 1);
      std::vector<uint32_t> named(cap_ + 1);  // reached by the name, with the new count
      for (uint32_t& node : next) node = graph.AddNode();
      for (uint32_t& node : named) node = graph.AddNode();
      for (uint32_t count = 0; count <= cap_; ++count) {
        if (!property.required) graph.AddEdge(at[count], next[count], Expression::Empty());
        if (count >= max_) continue;
        const Expression name = Expression::Sequence({JsonText::Value(property.name), JsonText::Colon()});
        graph.AddEdge(at[count], named[std::min(count + 1, cap_)], WithComma(count, name));
      }
      for (uint32_t count = 1; count <= cap_; ++count) graph.AddEdge(named[count], next[count], property.value);
      at = std::move(next);
    }
    return Finish(graph, std::move(at));
  }

  // Further members may have one name twice, so that no more than one of them counts towards a minimum.
  Expression Finish(GraphExpression& graph, std::vector<uint32_t> at) {
    std::vector<uint32_t> after(cap_ + 1);
    for (uint32_t& node : after) node = graph.AddNode();
    const uint32_t end = graph.AddNode();
    for (uint32_t count = 0; count <= cap_; ++count) {
      const uint32_t more = std::min(count + 1, cap_);
      if (count < max_) graph.AddEdge(at[count], after[more], WithComma(count, further_));
      if (count > 0 && min_ == 0 && count < max_) graph.AddEdge(after[count], after[more], WithComma(count, further_));
      if (count > 0 && min_ > 0 && max_ == kUnbounded) {
        graph.AddEdge(after[count], after[count], WithComma(count, further_));
      }
      if (count < min_) continue;
      graph.AddEdge(at[count], end, Expression::Empty());
      graph.AddEdge(after[count], end, Expression::Empty());
    }
    return Expression::Sequence({Expression::Literal("{"), std::move(graph).Build(), Expression::Literal("}")});
  }

  static Expression WithComma(uint32_t count, const Expression& member) {
    if (count == 0) return member;
    return member.is_nothing() ? member : Expression::Sequence({JsonText::Comma(), member});
  }

  SchemaCompiler& compiler_;
  const SchemaFacts& facts_;
  std::vector<std::string> names_;
  std::vector<Property> properties_;
  bool is_impossible_ = false;
  Expression further_ = Expression::Nothing();
  uint32_t min_ = 0;
  uint32_t max_ = kUnbounded;
  uint32_t cap_ = 1;
};

}  // namespace

absl::StatusOr<Expression> CompileObject(SchemaCompiler& compiler, const SchemaFacts& facts) {
  return ObjectCompiler(compiler, facts).Run();
}

}  // namespace tandem::grammar

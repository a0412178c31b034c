// The tests of `is`, see filters.h.
#include "model/jinja/error.h"
#include "model/jinja/filters.h"
#include "model/jinja/operations.h"
#include "model/jinja/representation.h"

namespace tandem::jinja {
namespace {

template <bool (*predicate)(const Value&)>
Value Is(Runtime&, const Value& self, const BoundArguments&) {
  return Value::Bool(predicate(self));
}

template <CompareOperator op>
Value Compares(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  return Value::Bool(Compare(runtime, op, self, arguments[0]));
}

bool Defined(const Value& value) { return !value.IsUndefined(); }
bool Undefined(const Value& value) { return value.IsUndefined(); }
bool None(const Value& value) { return value.IsNone(); }
bool Boolean(const Value& value) { return value.IsBool(); }
bool False(const Value& value) { return value.IsBool() && !value.boolean(); }
bool True(const Value& value) { return value.IsBool() && value.boolean(); }
bool Integer(const Value& value) { return value.IsInt(); }
bool Float(const Value& value) { return value.IsFloat(); }
bool Number(const Value& value) { return value.IsNumber(); }
bool String(const Value& value) { return value.IsString(); }
bool Mapping(const Value& value) { return value.IsDict(); }
bool Escaped(const Value& value) { return value.IsMarkup(); }

// Undefined has a length, __getitem__ and __call__ of its own, so Python counts it as a sequence and as callable.
bool IsASequence(const Value& value) {
  return value.IsUndefined() || value.IsString() || value.IsDict() || value.IsSequence(SequenceKind::kList) ||
         value.IsSequence(SequenceKind::kTuple) || value.IsSequence(SequenceKind::kRange);
}

bool Callable(const Value& value) { return value.IsUndefined() || (value.IsObject() && value.object()->IsCallable()); }

template <bool upper>
Value CaseTest(Runtime& runtime, const Value& self, const BoundArguments&) {
  return GetAttribute(Value::String(Str(self)), upper ? "isupper" : "islower").object()->Call(runtime, {});
}

bool Divides(Runtime& runtime, const Value& value, const Value& divisor) {
  return Equal(Apply(runtime, BinaryOperator::kModulo, value, divisor), Value::Int(0));
}

template <bool even>
Value Parity(Runtime& runtime, const Value& self, const BoundArguments&) {
  return Value::Bool(Divides(runtime, self, Value::Int(2)) == even);
}

Value DivisibleBy(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  return Value::Bool(Divides(runtime, self, arguments[0]));
}

Value SameAs(Runtime&, const Value& self, const BoundArguments& arguments) {
  return Value::Bool(self.SameAs(arguments[0]));
}

Value In(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  return Value::Bool(Contains(runtime, arguments[0], self));
}

template <const Builtin* (*find)(absl::string_view)>
Value Known(Runtime&, const Value& self, const BoundArguments&) {
  return Value::Bool(self.IsString() && find(self.view()) != nullptr);
}

constexpr Builtin kTests[] = {
    {"defined", "", Is<Defined>},
    {"undefined", "", Is<Undefined>},
    {"string", "", Is<String>},
    {"none", "", Is<None>},
    {"mapping", "", Is<Mapping>},
    {"iterable", "", Is<IsIterable>},
    {"sequence", "", Is<IsASequence>},
    {"boolean", "", Is<Boolean>},
    {"true", "", Is<True>},
    {"false", "", Is<False>},
    {"integer", "", Is<Integer>},
    {"float", "", Is<Float>},
    {"number", "", Is<Number>},
    {"callable", "", Is<Callable>},
    {"escaped", "", Is<Escaped>},
    {"lower", "", CaseTest<false>},
    {"upper", "", CaseTest<true>},
    {"odd", "", Parity<false>},
    {"even", "", Parity<true>},
    {"divisibleby", "num", DivisibleBy},
    {"sameas", "other", SameAs},
    {"in", "seq", In},
    {"filter", "", Known<FindFilter>},
    {"test", "", Known<FindTest>},
    {"equalto", "other", Compares<CompareOperator::kEqual>},
    {"eq", "other", Compares<CompareOperator::kEqual>},
    {"==", "other", Compares<CompareOperator::kEqual>},
    {"ne", "other", Compares<CompareOperator::kNotEqual>},
    {"!=", "other", Compares<CompareOperator::kNotEqual>},
    {"gt", "other", Compares<CompareOperator::kGreater>},
    {"greaterthan", "other", Compares<CompareOperator::kGreater>},
    {">", "other", Compares<CompareOperator::kGreater>},
    {"ge", "other", Compares<CompareOperator::kGreaterEqual>},
    {">=", "other", Compares<CompareOperator::kGreaterEqual>},
    {"lt", "other", Compares<CompareOperator::kLess>},
    {"lessthan", "other", Compares<CompareOperator::kLess>},
    {"<", "other", Compares<CompareOperator::kLess>},
    {"le", "other", Compares<CompareOperator::kLessEqual>},
    {"<=", "other", Compares<CompareOperator::kLessEqual>},
};

}  // namespace

const Builtin* FindTest(absl::string_view name) { return FindBuiltin(kTests, name); }

}  // namespace tandem::jinja

#include "model/jinja/operations.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/jinja/error.h"
#include "model/jinja/printf_format.h"
#include "model/jinja/text_operations.h"
#include "model/jinja/utf8.h"

namespace tandem::jinja {
namespace {

absl::string_view Symbol(BinaryOperator op) {
  static constexpr absl::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
  return kSymbols[static_cast<int>(op)];
}

[[noreturn]] void FailOperands(BinaryOperator op, const Value& left, const Value& right) {
  Fail("unsupported operand type(s) for ", Symbol(op), ": '", TypeName(left), "' and '", TypeName(right), "'");
}

[[noreturn]] void FailOverflow() { Fail("integer result does not fit in 64 bits"); }

Value Concatenate(Runtime& runtime, const Value& left, const Value& right) {
  runtime.ChargeBytes(left.text().size() + right.text().size());
  const bool markup = left.IsMarkup() || right.IsMarkup();
  // Python's Markup escapes whatever plain text is added to it.
  Text out = markup && !left.IsMarkup() ? EscapeHtml(left.text()) : left.text();
  out.Append(markup && !right.IsMarkup() ? EscapeHtml(right.text()) : right.text());
  return Value::String(std::move(out), markup);
}

Value ConcatenateSequences(Runtime& runtime, const Sequence& left, const Sequence& right) {
  runtime.ChargeBytes((left.items.size() + right.items.size()) * sizeof(Value));
  std::vector<Value> items = left.items;
  items.insert(items.end(), right.items.begin(), right.items.end());
  return Value::Of(left.kind, std::move(items));
}

bool IsListOrTuple(const Value& value) {
  return value.IsSequence(SequenceKind::kList) || value.IsSequence(SequenceKind::kTuple);
}

Value Repeat(Runtime& runtime, const Value& value, int64_t count) {
  const auto times = static_cast<size_t>(std::max<int64_t>(count, 0));
  if (value.IsString()) {
    return Value::String(RepeatText(runtime, value.text(), times), value.IsMarkup());
  }
  const std::vector<Value>& source = value.sequence().items;
  runtime.ChargeBytes(source.size() * sizeof(Value), times);
  std::vector<Value> items;
  for (size_t i = 0; !source.empty() && i < times; ++i) {
    items.insert(items.end(), source.begin(), source.end());
  }
  return Value::Of(value.sequence().kind, std::move(items));
}

int64_t FloorDivideInts(int64_t left, int64_t right) {
  if (left == INT64_MIN && right == -1) {
    FailOverflow();
  }
  const int64_t quotient = left / right;
  return (left % right != 0 && (left < 0) != (right < 0)) ? quotient - 1 : quotient;
}

int64_t ModuloInts(int64_t left, int64_t right) {
  if (right == -1) {
    return 0;
  }
  const int64_t remainder = left % right;
  return remainder != 0 && (remainder < 0) != (right < 0) ? remainder + right : remainder;
}

double ModuloFloats(double left, double right) {
  const double remainder = std::fmod(left, right);
  if (remainder == 0) {
    return std::copysign(0.0, right);
  }
  return (remainder < 0) != (right < 0) ? remainder + right : remainder;
}

double FloorDivideFloats(double left, double right) {
  return std::floor((left - ModuloFloats(left, right)) / right + 0.5);
}

int64_t PowerInts(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) {
      FailOverflow();
    }
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) {
      FailOverflow();
    }
  }
  return result;
}

Value ApplyToInts(BinaryOperator op, int64_t left, int64_t right) {
  int64_t result = 0;
  switch (op) {
    case BinaryOperator::kAdd:
      return __builtin_add_overflow(left, right, &result) ? (FailOverflow(), Value()) : Value::Int(result);
    case BinaryOperator::kSubtract:
      return __builtin_sub_overflow(left, right, &result) ? (FailOverflow(), Value()) : Value::Int(result);
    case BinaryOperator::kMultiply:
      return __builtin_mul_overflow(left, right, &result) ? (FailOverflow(), Value()) : Value::Int(result);
    case BinaryOperator::kDivide:
      return Value::Float(static_cast<double>(left) / static_cast<double>(right));
    case BinaryOperator::kFloorDivide:
      return Value::Int(FloorDivideInts(left, right));
    case BinaryOperator::kModulo:
      return Value::Int(ModuloInts(left, right));
    case BinaryOperator::kPower:
      return right < 0 ? Value::Float(std::pow(static_cast<double>(left), static_cast<double>(right)))
                       : Value::Int(PowerInts(left, right));
  }
  return Value();
}

Value ApplyToFloats(BinaryOperator op, double left, double right) {
  switch (op) {
    case BinaryOperator::kAdd:
      return Value::Float(left + right);
    case BinaryOperator::kSubtract:
      return Value::Float(left - right);
    case BinaryOperator::kMultiply:
      return Value::Float(left * right);
    case BinaryOperator::kDivide:
      return Value::Float(left / right);
    case BinaryOperator::kFloorDivide:
      return Value::Float(FloorDivideFloats(left, right));
    case BinaryOperator::kModulo:
      return Value::Float(ModuloFloats(left, right));
    case BinaryOperator::kPower:
      if (left < 0 && std::trunc(right) != right) {
        Fail("a negative number to a fractional power is a complex number");
      }
      return Value::Float(std::pow(left, right));
  }
  return Value();
}

Value ApplyToNumbers(BinaryOperator op, const Value& left, const Value& right) {
  const bool divides =
      op == BinaryOperator::kDivide || op == BinaryOperator::kFloorDivide || op == BinaryOperator::kModulo;
  if ((divides && right.number() == 0) || (op == BinaryOperator::kPower && left.number() == 0 && right.number() < 0)) {
    Fail("division by zero");
  }
  return left.IsFloat() || right.IsFloat() ? ApplyToFloats(op, left.number(), right.number())
                                           : ApplyToInts(op, left.integral(), right.integral());
}

bool LessSequences(const std::vector<Value>& left, const std::vector<Value>& right) {
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (!Equal(left[i], right[i])) {
      return Less(left[i], right[i]);
    }
  }
  return left.size() < right.size();
}

// `op` only words the message: every ordering is answered through "less".
bool LessFor(absl::string_view op, const Value& left, const Value& right) {
  RequireDefined(left);
  RequireDefined(right);
  if (left.IsNumber() && right.IsNumber()) {
    return left.IsIntegral() && right.IsIntegral() ? left.integral() < right.integral()
                                                   : left.number() < right.number();
  }
  if (left.IsString() && right.IsString()) {
    return left.view() < right.view();
  }
  if (IsListOrTuple(left) && IsListOrTuple(right) && left.sequence().kind == right.sequence().kind) {
    return LessSequences(left.sequence().items, right.sequence().items);
  }
  Fail("'", op, "' not supported between instances of '", TypeName(left), "' and '", TypeName(right), "'");
}

bool IsNan(const Value& value) { return value.IsFloat() && std::isnan(value.number()); }

}  // namespace

void RequireDefined(const Value& value) {
  if (value.IsUndefined()) {
    Fail(value.reason());
  }
}

int64_t RequireInt(const Value& value, absl::string_view what) {
  RequireDefined(value);
  if (!value.IsIntegral()) {
    Fail(what, " must be an integer, not '", TypeName(value), "'");
  }
  return value.integral();
}

bool Truthy(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kUndefined:
    case Value::Kind::kNone:
      return false;
    case Value::Kind::kBool:
    case Value::Kind::kInt:
      return value.integral() != 0;
    case Value::Kind::kFloat:
      return value.number() != 0;
    default: {
      const auto length = Length(value);
      return !length.has_value() || *length != 0;
    }
  }
}

Value Apply(Runtime& runtime, BinaryOperator op, const Value& left, const Value& right) {
  if (op == BinaryOperator::kModulo && left.IsString()) {
    return Value::String(FormatPrintf(runtime, left.text(), right), left.IsMarkup());
  }
  RequireDefined(left);
  RequireDefined(right);
  if (left.IsNumber() && right.IsNumber()) {
    return ApplyToNumbers(op, left, right);
  }
  if (op == BinaryOperator::kAdd) {
    if (left.IsString() && right.IsString()) {
      return Concatenate(runtime, left, right);
    }
    if (IsListOrTuple(left) && IsListOrTuple(right) && left.sequence().kind == right.sequence().kind) {
      return ConcatenateSequences(runtime, left.sequence(), right.sequence());
    }
    if (left.IsString()) {
      Fail("can only concatenate str (not \"", TypeName(right), "\") to str");
    }
  }
  if (op == BinaryOperator::kMultiply) {
    if ((left.IsString() || IsListOrTuple(left)) && right.IsIntegral()) {
      return Repeat(runtime, left, right.integral());
    }
    if ((right.IsString() || IsListOrTuple(right)) && left.IsIntegral()) {
      return Repeat(runtime, right, left.integral());
    }
  }
  FailOperands(op, left, right);
}

Value Negate(const Value& value) {
  RequireDefined(value);
  if (value.IsFloat()) {
    return Value::Float(-value.number());
  }
  if (!value.IsIntegral()) {
    Fail("bad operand type for unary -: '", TypeName(value), "'");
  }
  return ApplyToInts(BinaryOperator::kSubtract, 0, value.integral());
}

Value Plus(const Value& value) {
  RequireDefined(value);
  if (!value.IsNumber()) {
    Fail("bad operand type for unary +: '", TypeName(value), "'");
  }
  return value.IsFloat() ? value : Value::Int(value.integral());
}

bool Less(const Value& left, const Value& right) { return LessFor("<", left, right); }

bool Compare(Runtime& runtime, CompareOperator op, const Value& left, const Value& right) {
  runtime.ChargeBytes(std::min(left.extent().weight, right.extent().weight));
  switch (op) {
    case CompareOperator::kEqual:
      return Equal(left, right);
    case CompareOperator::kNotEqual:
      return !Equal(left, right);
    case CompareOperator::kIn:
      return Contains(runtime, right, left);
    case CompareOperator::kNotIn:
      return !Contains(runtime, right, left);
    case CompareOperator::kLess:
      return LessFor("<", left, right);
    case CompareOperator::kGreater:
      return LessFor(">", right, left);
    case CompareOperator::kLessEqual:
      return !LessFor("<=", right, left) && !IsNan(left) && !IsNan(right);
    case CompareOperator::kGreaterEqual:
      return !LessFor(">=", left, right) && !IsNan(left) && !IsNan(right);
  }
  return false;
}

bool Contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.IsString()) {
    RequireDefined(item);
    if (!item.IsString()) {
      Fail("'in <string>' requires string as left operand, not ", TypeName(item));
    }
    runtime.ChargeBytes(container.view().size());
    return FindBytes(container.view(), item.view(), 0) != absl::string_view::npos;
  }
  if (container.IsDict()) {
    return container.dict().Find(item) != nullptr;
  }
  if (!IsIterable(container)) {
    Fail("argument of type '", TypeName(container), "' is not iterable");
  }
  const Items items = Iterate(runtime, container);
  runtime.ChargeBytes(container.extent().weight);
  return std::any_of(items->begin(), items->end(), [&](const Value& candidate) { return Equal(candidate, item); });
}

}  // namespace tandem::jinja

// Filters that make numbers.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "model/jinja/error.h"
#include "model/jinja/filters.h"
#include "model/jinja/operations.h"
#include "model/jinja/text_operations.h"

namespace tandem::jinja {
namespace {

constexpr double kInt64Limit = 9.2e18;

Value Abs(Runtime&, const Value& self, const BoundArguments&) {
  RequireDefined(self);
  if (!self.IsNumber()) {
    Fail("bad operand type for abs(): '", TypeName(self), "'");
  }
  return self.IsFloat() ? Value::Float(std::abs(self.number())) : self.integral() < 0 ? Negate(self) : Plus(self);
}

int DigitValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 99;
}

// The base that a prefix such as 0x names, 0 without one.
int PrefixBase(absl::string_view digits) {
  if (digits.size() < 2 || digits[0] != '0') {
    return 0;
  }
  switch (digits[1] | 0x20) {
    case 'x':
      return 16;
    case 'o':
      return 8;
    case 'b':
      return 2;
    default:
      return 0;
  }
}

// Python's int(text, base); nothing where that raises ValueError.
std::optional<int64_t> ParseInt(const Text& text, int64_t base) {
  const Text stripped = Strip(text, std::nullopt, Side::kBoth);
  absl::string_view digits = stripped.view();
  const bool negative = !digits.empty() && digits[0] == '-';
  if (negative || (!digits.empty() && digits[0] == '+')) {
    digits.remove_prefix(1);
  }
  const int prefix = PrefixBase(digits);
  if (prefix != 0 && (base == 0 || base == prefix)) {
    digits.remove_prefix(2);
    base = prefix;
  }
  base = base == 0 ? 10 : base;
  int64_t number = 0;
  bool after_digit = false;
  for (const char c : digits) {
    if (c == '_' && after_digit) {
      after_digit = false;
      continue;
    }
    if (DigitValue(c) >= base) {
      return std::nullopt;
    }
    if (__builtin_mul_overflow(number, base, &number) || __builtin_add_overflow(number, DigitValue(c), &number)) {
      Fail("the number does not fit in 64 bits");
    }
    after_digit = true;
  }
  return after_digit ? std::optional<int64_t>(negative ? -number : number) : std::nullopt;
}

// Python's float(text); nothing where that raises ValueError.
std::optional<double> ParseFloat(const Text& text) {
  const Text stripped = Strip(text, std::nullopt, Side::kBoth);
  std::string digits;
  for (size_t i = 0; i < stripped.size(); ++i) {
    const char c = stripped.view()[i];
    const bool inner = i > 0 && i + 1 < stripped.size() && DigitValue(stripped.view()[i - 1]) < 10 &&
                       DigitValue(stripped.view()[i + 1]) < 10;
    if (c == '_' && inner) {
      continue;
    }
    digits.push_back(c);
  }
  if (digits.empty() || digits.find_first_of("xXpP(") != std::string::npos) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double number = std::strtod(digits.c_str(), &end);
  return end == digits.c_str() + digits.size() ? std::optional<double>(number) : std::nullopt;
}

std::optional<Value> Truncated(double number) {
  if (!std::isfinite(number)) {
    return std::nullopt;
  }
  if (std::abs(number) > kInt64Limit) {
    Fail("the number does not fit in 64 bits");
  }
  return Value::Int(static_cast<int64_t>(number));
}

Value ToInt(Runtime&, const Value& self, const BoundArguments& arguments) {
  const Value fallback = arguments.Or(0, Value::Int(0));
  RequireDefined(self);
  if (self.IsIntegral()) {
    return Value::Int(self.integral());
  }
  if (self.IsFloat()) {
    if (std::isinf(self.number())) {
      Fail("cannot convert float infinity to integer");
    }
    return Truncated(self.number()).value_or(fallback);
  }
  if (!self.IsString()) {
    return fallback;
  }
  if (const auto number = ParseInt(self.text(), arguments.Int(1, 10))) {
    return Value::Int(*number);
  }
  const auto number = ParseFloat(self.text());
  return number.has_value() ? Truncated(*number).value_or(fallback) : fallback;
}

Value ToFloat(Runtime&, const Value& self, const BoundArguments& arguments) {
  RequireDefined(self);
  if (self.IsNumber()) {
    return Value::Float(self.number());
  }
  const auto number = self.IsString() ? ParseFloat(self.text()) : std::nullopt;
  return number.has_value() ? Value::Float(*number) : arguments.Or(0, Value::Float(0));
}

// Python rounds halves of the exact binary value to even: printing with that many digits does the same.
double RoundTo(double number, int precision) {
  if (precision < 0) {
    const double scale = std::pow(10.0, -precision);
    return std::nearbyint(number / scale) * scale;
  }
  char digits[400];
  std::snprintf(digits, sizeof(digits), "%.*f", std::min(precision, 60), number);
  return std::strtod(digits, nullptr);
}

Value Round(Runtime& runtime, const Value& self, const BoundArguments& arguments) {
  RequireDefined(self);
  if (!self.IsNumber()) {
    Fail("type ", TypeName(self), " doesn't define __round__ method");
  }
  const auto precision = static_cast<int>(std::clamp<int64_t>(arguments.Int(0, 0), -300, 300));
  const Text method = arguments.String(1, "common");
  if (method.view() != "common" && method.view() != "ceil" && method.view() != "floor") {
    Fail("method must be common, ceil or floor");
  }
  if (method.view() == "common") {
    if (self.IsIntegral() && precision >= 0) {
      return Value::Int(self.integral());
    }
    const double rounded = std::isfinite(self.number()) ? RoundTo(self.number(), precision) : self.number();
    return self.IsFloat() ? Value::Float(rounded) : Value::Int(static_cast<int64_t>(rounded));
  }
  const Value scale = Apply(runtime, BinaryOperator::kPower, Value::Int(10), Value::Int(precision));
  const double scaled = self.number() * scale.number();
  const double whole = method.view() == "ceil" ? std::ceil(scaled) : std::floor(scaled);
  return Value::Float(whole / scale.number());
}

constexpr Builtin kFilters[] = {
    {"int", "|default base", ToInt},
    {"float", "|default", ToFloat},
    {"round", "|precision method", Round},
    {"abs", "", Abs},
};

}  // namespace

absl::Span<const Builtin> NumberFilters() { return kFilters; }

}  // namespace tandem::jinja

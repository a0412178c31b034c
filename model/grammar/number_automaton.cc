#include "model/grammar/number_automaton.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "model/grammar/expression.h"

namespace tandem::grammar {
namespace {

// Comparison of a number that is read digit by digit with a bound, both without sign.
enum class Order : uint8_t { kLess, kEqual, kGreater };

// One way to be a number: a sign, and bounds for what follows it.
struct Branch {
  bool negative = false;
  std::optional<Decimal> low;
  std::optional<Decimal> high;
  bool low_exclusive = false;
  bool high_exclusive = false;
};

enum class Phase : uint8_t { kSign, kFirst, kZero, kInteger, kPoint, kFraction };

struct State {
  Phase phase = Phase::kFirst;
  uint8_t integer_digits = 0;
  uint8_t fraction_digits = 0;
  Order low = Order::kEqual;  // of the digits read so far, until the integer's length decides
  Order high = Order::kEqual;
  uint32_t remainder = 0;
  bool any_digit = false;  // other than 0

  auto Key() const { return std::tie(phase, integer_digits, fraction_digits, low, high, remainder, any_digit); }
  bool operator<(const State& other) const { return Key() < other.Key(); }
};

Order Compare(int a, int b) { return a < b ? Order::kLess : a > b ? Order::kGreater : Order::kEqual; }

Order WithDigit(Order so_far, const std::string& digits, size_t at, int digit) {
  if (so_far != Order::kEqual || at >= digits.size()) {
    // Past the bound's integer the length decides; past its fraction zeros are implied.
    return so_far;
  }
  return Compare(digit, digits[at] - '0');
}

class BoundedNumber {
 public:
  BoundedNumber(const NumberBounds& bounds, Branch branch) : bounds_(bounds), branch_(std::move(branch)) {}

  State Start() const { return {.phase = branch_.negative ? Phase::kSign : Phase::kFirst}; }

  std::optional<State> Step(State state, uint8_t byte) const {
    if (state.phase == Phase::kSign) {
      if (byte != '-') return std::nullopt;
      state.phase = Phase::kFirst;
      return state;
    }
    if (byte == '.') return WithPoint(state);
    if (byte < '0' || byte > '9') return std::nullopt;
    const int digit = byte - '0';
    state.any_digit = state.any_digit || digit != 0;
    if (state.phase == Phase::kPoint || state.phase == Phase::kFraction) return WithFraction(state, digit);
    return WithInteger(state, digit);
  }

  bool Accepts(const State& state) const {
    if (state.phase == Phase::kSign || state.phase == Phase::kFirst || state.phase == Phase::kPoint) return false;
    if (branch_.negative && bounds_.integer && !state.any_digit) return false;  // -0
    if (state.remainder != 0) return false;
    if (branch_.low) {
      const Order order = Final(state, *branch_.low, state.low);
      if (order == Order::kLess || (order == Order::kEqual && branch_.low_exclusive)) return false;
    }
    if (branch_.high) {
      const Order order = Final(state, *branch_.high, state.high);
      if (order == Order::kGreater || (order == Order::kEqual && branch_.high_exclusive)) return false;
    }
    return true;
  }

 private:
  std::optional<State> WithInteger(State state, int digit) const {
    if (state.phase == Phase::kZero) return std::nullopt;
    if (state.phase == Phase::kFirst && digit == 0) {
      state.phase = Phase::kZero;
      return state;
    }
    if (state.integer_digits >= kMaxNumberDigits) return std::nullopt;
    state.phase = Phase::kInteger;
    if (branch_.low) state.low = WithDigit(state.low, branch_.low->integer, state.integer_digits, digit);
    if (branch_.high) state.high = WithDigit(state.high, branch_.high->integer, state.integer_digits, digit);
    state.remainder = (state.remainder * 10 + static_cast<uint32_t>(digit)) % bounds_.multiple_of;
    ++state.integer_digits;
    return state;
  }

  std::optional<State> WithPoint(State state) const {
    const bool whole = bounds_.integer || bounds_.multiple_of > 1;
    if (whole || (state.phase != Phase::kZero && state.phase != Phase::kInteger)) return std::nullopt;
    if (branch_.low) state.low = AfterInteger(state, *branch_.low, state.low);
    if (branch_.high) state.high = AfterInteger(state, *branch_.high, state.high);
    state.phase = Phase::kPoint;
    return state;
  }

  std::optional<State> WithFraction(State state, int digit) const {
    if (state.integer_digits + state.fraction_digits >= kMaxNumberDigits) return std::nullopt;
    if (branch_.low) state.low = WithFractionDigit(state.low, branch_.low->fraction, state.fraction_digits, digit);
    if (branch_.high) state.high = WithFractionDigit(state.high, branch_.high->fraction, state.fraction_digits, digit);
    state.phase = Phase::kFraction;
    ++state.fraction_digits;
    return state;
  }

  static Order WithFractionDigit(Order so_far, const std::string& digits, size_t at, int digit) {
    if (so_far != Order::kEqual) return so_far;
    return Compare(digit, at < digits.size() ? digits[at] - '0' : 0);
  }

  // The integer is complete: a longer one is the greater one.
  static Order AfterInteger(const State& state, const Decimal& bound, Order digits) {
    const Order length = Compare(state.integer_digits, static_cast<int>(bound.integer.size()));
    return length != Order::kEqual ? length : digits;
  }

  static Order Final(const State& state, const Decimal& bound, Order digits) {
    const bool in_fraction = state.phase == Phase::kFraction;
    const Order order = in_fraction ? digits : AfterInteger(state, bound, digits);
    // The bound's fraction does not end in a zero: what is left of it makes it the greater one.
    return order == Order::kEqual && bound.fraction.size() > state.fraction_digits ? Order::kLess : order;
  }

  const NumberBounds& bounds_;
  const Branch branch_;
};

Decimal Negated(Decimal value) {
  value.negative = !value.negative;
  return value;
}

// The bounds of what follows a '-': they change places and sign; one that is below zero then bounds nothing.
Branch NegativeBranch(const NumberBounds& bounds) {
  Branch branch = {.negative = true, .low_exclusive = bounds.max_exclusive, .high_exclusive = bounds.min_exclusive};
  if (bounds.max) branch.low = Negated(*bounds.max);
  if (bounds.min) branch.high = Negated(*bounds.min);
  return branch;
}

Branch PositiveBranch(const NumberBounds& bounds) {
  return {.low = bounds.min,
          .high = bounds.max,
          .low_exclusive = bounds.min_exclusive,
          .high_exclusive = bounds.max_exclusive};
}

bool IsZero(const Decimal& value) { return value.integer.empty() && value.fraction.empty(); }

absl::StatusOr<Expression> BranchExpression(const NumberBounds& bounds, Branch branch, Budget& budget) {
  if (branch.high && branch.high->negative && !IsZero(*branch.high)) return Expression::Nothing();
  if (branch.low && branch.low->negative && !IsZero(*branch.low)) branch.low.reset();
  const BoundedNumber number(bounds, std::move(branch));
  ASSIGN_OR_RETURN(Automaton automaton,
                   BuildAutomaton(
                       number.Start(), [&](const State& state, uint8_t byte) { return number.Step(state, byte); },
                       [&](const State& state) { return number.Accepts(state); }, budget));
  return Expression::Matching(std::move(automaton));
}

Decimal FromDigits(bool negative, absl::string_view text) {
  const size_t point = std::min(text.find('.'), text.size());
  absl::string_view integer = text.substr(0, point);
  absl::string_view fraction = point < text.size() ? text.substr(point + 1) : "";
  while (!integer.empty() && integer.front() == '0') integer.remove_prefix(1);
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  return {negative, std::string(integer), std::string(fraction)};
}

bool MagnitudeIsLess(const Decimal& a, const Decimal& b) {
  if (a.integer.size() != b.integer.size()) return a.integer.size() < b.integer.size();
  return std::tie(a.integer, a.fraction) < std::tie(b.integer, b.fraction);
}

}  // namespace

Decimal Decimal::FromInt(int64_t value) {
  const std::string text = absl::StrCat(value);
  return FromDigits(value < 0, absl::string_view(text).substr(value < 0 ? 1 : 0));
}

Decimal Decimal::FromUint(uint64_t value) { return FromDigits(false, absl::StrCat(value)); }

Decimal Decimal::FromDouble(double value) {
  char buffer[512];  // 309 digits before the point, or 324 behind it and some more
  const bool negative = value < 0;
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), std::fabs(value), std::chars_format::fixed);
  return FromDigits(negative, absl::string_view(buffer, static_cast<size_t>(end.ptr - buffer)));
}

bool operator==(const Decimal& a, const Decimal& b) {
  const bool same_sign = a.negative == b.negative || (IsZero(a) && IsZero(b));
  return same_sign && a.integer == b.integer && a.fraction == b.fraction;
}

bool operator<(const Decimal& a, const Decimal& b) {
  if (a == b) return false;
  const bool a_negative = a.negative && !IsZero(a);
  const bool b_negative = b.negative && !IsZero(b);
  if (a_negative != b_negative) return a_negative;
  return a_negative ? MagnitudeIsLess(b, a) : MagnitudeIsLess(a, b);
}

absl::StatusOr<Automaton> NumberAutomaton(const NumberBounds& bounds, Budget& budget) {
  constexpr uint32_t kMaxMultiple = 1000;
  if (bounds.multiple_of == 0 || bounds.multiple_of > kMaxMultiple) {
    return absl::InvalidArgumentError(absl::StrCat("only multiples of 1 to ", kMaxMultiple, " are supported"));
  }
  ASSIGN_OR_RETURN(Expression positive, BranchExpression(bounds, PositiveBranch(bounds), budget));
  ASSIGN_OR_RETURN(Expression negative, BranchExpression(bounds, NegativeBranch(bounds), budget));
  Expression number = Expression::OneOf({std::move(positive), std::move(negative)});
  if (!bounds.integer && !bounds.is_bounded()) {
    const Expression digit = Expression::Bytes('0', '9');
    const Expression mark = Expression::OneOf({Expression::Literal("e"), Expression::Literal("E")});
    const Expression sign =
        Expression::Optional(Expression::OneOf({Expression::Literal("+"), Expression::Literal("-")}));
    const Expression exponent = Expression::Sequence({mark, sign, Expression::Repeat(digit, 1, 2)});
    number = Expression::Sequence({std::move(number), Expression::Optional(exponent)});
  }
  return ToAutomaton(number, budget);
}

}  // namespace tandem::grammar

// JSON numbers within bounds, exactly.
//
// Numbers have at most 15 digits: then different numbers are different doubles in the same order, and whoever parses
// them sees what the bounds say. (DBL_DIG in <cfloat>.)
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "model/grammar/automaton.h"

namespace tandem::grammar {

constexpr int kMaxNumberDigits = 15;

// A number in decimal: ±integer.fraction, without leading and trailing zeros ("0" is two empty strings).
struct Decimal {
  bool negative = false;
  std::string integer;
  std::string fraction;

  static Decimal FromInt(int64_t value);
  static Decimal FromUint(uint64_t value);
  // The shortest decimal that parses to `value`, which is finite.
  static Decimal FromDouble(double value);
};

bool operator<(const Decimal& a, const Decimal& b);
bool operator==(const Decimal& a, const Decimal& b);

struct NumberBounds {
  bool integer = false;
  std::optional<Decimal> min;
  std::optional<Decimal> max;
  bool min_exclusive = false;
  bool max_exclusive = false;
  // Only multiples of this; 1 or none: all. More than one means whole numbers only.
  uint32_t multiple_of = 1;

  bool is_bounded() const { return min || max || multiple_of > 1; }
};

// Unbounded numbers may have a fraction and a small exponent, bounded ones only a fraction. Nothing is matched when no
// number of 15 digits lies within. Errors: INVALID_ARGUMENT when `multiple_of` is too large for an automaton.
absl::StatusOr<Automaton> NumberAutomaton(const NumberBounds& bounds, Budget& budget);

}  // namespace tandem::grammar

#include "model/grammar/number_automaton.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tandem::grammar {
namespace {

Automaton Compile(const NumberBounds& bounds) {
  Budget budget;
  auto automaton = NumberAutomaton(bounds, budget);
  EXPECT_TRUE(automaton.ok()) << automaton.status();
  return automaton.ok() ? *automaton : Automaton();
}

TEST(NumberAutomatonTest, IntegersWithinBoundsAndNoOthers) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> number(-300, 300);
  for (int round = 0; round < 60; ++round) {
    const int a = number(random);
    const int b = number(random);
    const int low = std::min(a, b);
    const int high = std::max(a, b);
    const uint32_t multiple = round % 3 == 0 ? 1 + static_cast<uint32_t>(round) : 1;
    NumberBounds bounds = {.integer = true, .min = Decimal::FromInt(low), .max = Decimal::FromInt(high)};
    bounds.min_exclusive = round % 2 == 0;
    bounds.multiple_of = multiple;
    const Automaton automaton = Compile(bounds);
    for (int value = -1100; value <= 1100; ++value) {
      const bool is_within = (bounds.min_exclusive ? value > low : value >= low) && value <= high &&
                             value % static_cast<int>(multiple) == 0;
      EXPECT_EQ(automaton.Matches(absl::StrCat(value)), is_within)
          << value << " in " << low << ".." << high << " by " << multiple;
    }
    EXPECT_FALSE(automaton.Matches("-0"));
    EXPECT_FALSE(automaton.Matches("01"));
    EXPECT_FALSE(automaton.Matches("1.0"));
  }
}

TEST(NumberAutomatonTest, DecimalsAsTheirDoublesCompare) {
  std::mt19937 random(2);
  std::uniform_real_distribution<double> number(-12, 12);
  for (int round = 0; round < 40; ++round) {
    double low = number(random);
    double high = number(random);
    if (round % 2 == 0) {
      low = std::round(low * 100) / 100;
      high = std::round(high * 10) / 10;
    }
    if (low > high) std::swap(low, high);
    NumberBounds bounds = {.min = Decimal::FromDouble(low), .max = Decimal::FromDouble(high)};
    bounds.min_exclusive = round % 4 < 2;
    bounds.max_exclusive = round % 3 == 0;
    const Automaton automaton = Compile(bounds);
    for (int i = 0; i < 2000; ++i) {
      // Close to a bound, or anywhere.
      const double value = i % 3 == 0 ? low + number(random) * 1e-3 : i % 3 == 1 ? high : number(random);
      const std::string text = absl::StrFormat("%.*f", i % 13, value);
      const double parsed = std::stod(text);
      const bool is_within = (bounds.min_exclusive ? parsed > low : parsed >= low) &&
                             (bounds.max_exclusive ? parsed < high : parsed <= high);
      EXPECT_EQ(automaton.Matches(text), is_within) << text << " in " << low << ".." << high;
    }
  }
}

TEST(NumberAutomatonTest, UnboundedNumbersAreJsonThatStaysFinite) {
  const Automaton automaton = Compile({});
  for (const char* text : {"0", "-0", "12", "0.5", "-1.25e-7", "3E+20", "999999999999999"}) {
    EXPECT_TRUE(automaton.Matches(text)) << text;
  }
  for (const char* text : {"", "-", "01", ".5", "1.", "+1", "1e", "1e400", "9999999999999999", "NaN", "0x1"}) {
    EXPECT_FALSE(automaton.Matches(text)) << text;
  }
}

TEST(NumberAutomatonTest, EmptyWhereNothingFits) {
  EXPECT_TRUE(Compile({.integer = true, .min = Decimal::FromDouble(0.2), .max = Decimal::FromDouble(0.8)}).IsEmpty());
  EXPECT_TRUE(Compile({.min = Decimal::FromDouble(1e20)}).IsEmpty());
  EXPECT_FALSE(Compile({.min = Decimal::FromInt(0), .max = Decimal::FromDouble(-0.0)}).IsEmpty());
}

TEST(DecimalTest, OrdersAsNumbersDo) {
  const double values[] = {-1e9, -10.5, -10, -0.3, -0.25, 0, 1e-9, 0.25, 0.3, 9.99, 10, 10.01, 1e15};
  for (const double a : values) {
    for (const double b : values) {
      EXPECT_EQ(Decimal::FromDouble(a) < Decimal::FromDouble(b), a < b) << a << " " << b;
      EXPECT_EQ(Decimal::FromDouble(a) == Decimal::FromDouble(b), a == b) << a << " " << b;
    }
  }
  EXPECT_TRUE(Decimal::FromInt(-7) == Decimal::FromDouble(-7));
  EXPECT_TRUE(Decimal::FromUint(7) == Decimal::FromInt(7));
}

}  // namespace
}  // namespace tandem::grammar

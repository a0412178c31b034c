// Follows the structure of one JSON value that comes byte by byte: nesting, strings, keys.
#pragma once

#include <cstdint>
#include <string>

namespace tandem::router {

// Structure only: what stands in strings and scalars is not judged, so that line breaks in strings and Python's True
// and None, which models write, get through. Numbers and words at the top level are refused, because only the text
// behind them would tell where they end.
class JsonScanner {
 public:
  enum class State : uint8_t {
    kValue,         // a value must follow
    kFirstElement,  // a value or ]
    kFirstKey,      // a key or }
    kKey,
    kColon,
    kNext,  // a comma or the closing bracket
    kString,
    kEscape,
    kScalar,  // within a number or a word
    kDone,
    kError,
  };

  // Takes the next byte, and returns the state behind it. After kDone only white space may follow; kError stays.
  State Push(char c);

  State state() const { return state_; }
  int depth() const { return static_cast<int>(open_.size()); }
  // Within a string, between its quotes.
  bool in_string() const { return state_ == State::kString || state_ == State::kEscape; }
  bool in_key() const { return in_string() && is_key_; }

 private:
  static constexpr size_t kMaxDepth = 128;

  State Next(char c);
  State BeginValue(char c);
  State Open(char c);
  State Close(char c);
  State AfterValue() const { return open_.empty() ? State::kDone : State::kNext; }

  State state_ = State::kValue;
  bool is_key_ = false;
  std::string open_;  // the brackets that are open
};

}  // namespace tandem::router

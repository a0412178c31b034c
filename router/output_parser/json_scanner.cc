#include "router/output_parser/json_scanner.h"

#include "absl/strings/ascii.h"

namespace tandem::router {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool IsScalar(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '+' || c == '.'; }

}  // namespace

JsonScanner::State JsonScanner::Push(char c) { return state_ = Next(c); }

JsonScanner::State JsonScanner::Next(char c) {
  switch (state_) {
    case State::kString:
      if (c == '\\') return State::kEscape;
      if (c != '"') return State::kString;
      return is_key_ ? State::kColon : AfterValue();
    case State::kEscape:
      return State::kString;
    case State::kScalar:
      if (IsScalar(c)) return State::kScalar;
      state_ = State::kNext;
      return Next(c);
    case State::kError:
      return State::kError;
    default:
      break;
  }
  if (IsSpace(c)) {
    return state_;
  }
  switch (state_) {
    case State::kFirstElement:
      return c == ']' ? Close(c) : BeginValue(c);
    case State::kValue:
      return BeginValue(c);
    case State::kFirstKey:
      if (c == '}') return Close(c);
      [[fallthrough]];
    case State::kKey:
      is_key_ = true;
      return c == '"' ? State::kString : State::kError;
    case State::kColon:
      return c == ':' ? State::kValue : State::kError;
    case State::kNext:
      if (c == ',') return open_.back() == '{' ? State::kKey : State::kValue;
      return Close(c);
    default:
      return State::kError;
  }
}

JsonScanner::State JsonScanner::BeginValue(char c) {
  if (c == '{' || c == '[') {
    return Open(c);
  }
  is_key_ = false;
  if (c == '"') {
    return State::kString;
  }
  return IsScalar(c) && !open_.empty() ? State::kScalar : State::kError;
}

JsonScanner::State JsonScanner::Open(char c) {
  if (open_.size() == kMaxDepth) {
    return State::kError;
  }
  open_.push_back(c);
  return c == '{' ? State::kFirstKey : State::kFirstElement;
}

JsonScanner::State JsonScanner::Close(char c) {
  if (open_.empty() || c != (open_.back() == '{' ? '}' : ']')) {
    return State::kError;
  }
  open_.pop_back();
  return AfterValue();
}

}  // namespace tandem::router

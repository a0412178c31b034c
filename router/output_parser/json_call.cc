#include "router/output_parser/json_call.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace tandem::router {
namespace {

using State = JsonScanner::State;
using Step = CallReader::Step;

// One byte of arguments. Control characters, which some models write into strings, become escapes: what goes out is
// JSON.
std::string ArgumentByte(char c, bool in_string) {
  return in_string && static_cast<unsigned char>(c) < 0x20 ? EscapeJson(c) : std::string(1, c);
}

// The string that a JSON text denotes; nullopt if it is none.
std::optional<std::string> DecodeString(const std::string& json) {
  const nlohmann::json value = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
}

}  // namespace

Step JsonArgumentsReader::Push(char c, CallSink& sink) {
  const State state = scanner_.Push(c);
  if (state == State::kError) {
    return Step::kBroken;
  }
  sink.Arguments(ArgumentByte(c, scanner_.in_string()));
  if (state != State::kDone) {
    return Step::kMore;
  }
  sink.End();
  return Step::kDone;
}

Step JsonCallReader::Push(char c, CallSink& sink) {
  const State before = scanner_.state();
  const int depth = scanner_.depth();
  const bool was_string = scanner_.in_string();
  const bool was_key = scanner_.in_key();
  if (depth == 0 && c != '{' && !IsJsonSpace(c)) {
    return Step::kReject;
  }
  const State state = scanner_.Push(c);
  const bool in_arguments = member_ == Member::kArguments && (depth > 1 || scanner_.depth() > 1);
  if (state == State::kError) {
    return in_arguments && begun_ ? Step::kBroken : Step::kReject;
  }
  if (state == State::kDone) {
    return Finish(sink);
  }
  if (depth == 1 && (was_key || scanner_.in_key())) {
    return ReadKey(c);
  }
  if (in_arguments) {
    return ReadArguments(c, /*complete=*/scanner_.depth() == 1, sink);
  }
  const bool in_value = was_string || scanner_.in_string() || state == State::kScalar;
  if (member_ == Member::kName && scanner_.depth() > 1) {
    return Step::kReject;
  }
  if (member_ == Member::kName && in_value) {
    return ReadName(c, was_string, sink);
  }
  // Arguments that are no object.
  const bool begins_scalar = before == State::kValue && in_value;
  return member_ == Member::kArguments && begins_scalar ? Step::kReject : Step::kMore;
}

Step JsonCallReader::ReadKey(char c) {
  if (raw_.empty()) {
    member_ = Member::kNone;
  }
  raw_.push_back(c);
  if (scanner_.in_key()) {
    return Step::kMore;
  }
  const std::string key = DecodeString(std::exchange(raw_, "")).value_or("");
  if (key == "name") {
    member_ = begun_ || !name_.empty() ? Member::kOther : Member::kName;
  } else if (key == "arguments" || key == "parameters") {
    member_ = has_arguments_ ? Member::kOther : Member::kArguments;
  } else {
    member_ = Member::kOther;
    return begun_ || key == "id" || key == "type" ? Step::kMore : Step::kReject;
  }
  return Step::kMore;
}

Step JsonCallReader::ReadName(char c, bool was_string, CallSink& sink) {
  if (!was_string && c != '"') {
    return Step::kReject;
  }
  raw_.push_back(c);
  if (scanner_.in_string()) {
    return Step::kMore;
  }
  member_ = Member::kNone;
  name_ = DecodeString(std::exchange(raw_, "")).value_or("");
  if (name_.empty() || (!rules_.names.empty() && !rules_.names.contains(name_))) {
    return Step::kReject;
  }
  if (has_arguments_) {
    Begin(sink);
    sink.Arguments(arguments_);
  }
  return Step::kMore;
}

Step JsonCallReader::ReadArguments(char c, bool complete, CallSink& sink) {
  if (!has_arguments_) {
    has_arguments_ = true;
    if (c != '{') {
      return Step::kReject;
    }
    if (!name_.empty()) {
      Begin(sink);
    }
  }
  if (begun_) {
    sink.Arguments(ArgumentByte(c, scanner_.in_string()));
  } else {
    arguments_ += ArgumentByte(c, scanner_.in_string());
  }
  if (complete) {
    member_ = Member::kNone;
  }
  return Step::kMore;
}

Step JsonCallReader::Finish(CallSink& sink) {
  if (!begun_) {
    if (name_.empty() || rules_.needs_arguments) {
      return Step::kReject;
    }
    Begin(sink);
    sink.Arguments("{}");
  }
  sink.End();
  return Step::kDone;
}

void JsonCallReader::Begin(CallSink& sink) {
  begun_ = true;
  sink.Begin(name_, "");
}

Step JsonCallListReader::Push(char c, CallSink& sink) {
  if (place_ != Place::kInside && IsJsonSpace(c)) {
    return Step::kMore;
  }
  switch (place_) {
    case Place::kBegin:
      place_ = Place::kElement;
      return c == '[' ? Step::kMore : Step::kReject;
    case Place::kElement:
      place_ = Place::kInside;
      call_ = std::make_unique<JsonCallReader>(rules_);
      [[fallthrough]];
    case Place::kInside: {
      const Step step = call_->Push(c, sink);
      if (step != Step::kDone) return step;
      place_ = Place::kNext;
      return Step::kMore;
    }
    case Place::kNext:
      if (c == ']') return Step::kDone;
      place_ = Place::kElement;
      return c == ',' ? Step::kMore : Step::kReject;
  }
  return Step::kReject;
}

}  // namespace tandem::router

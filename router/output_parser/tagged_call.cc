#include "router/output_parser/tagged_call.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tandem::router {
namespace {

using Step = CallReader::Step;

bool IsNameByte(char c) { return static_cast<unsigned char>(c) > ' ' && c != '<' && c != '>' && c != '"' && c != '{'; }

std::string Quoted(absl::string_view text) {
  std::string out(1, '"');
  for (char c : text) {
    out += EscapeJson(c);
  }
  out.push_back('"');
  return out;
}

}  // namespace

Step TaggedCallReader::Push(char c, CallSink& sink) {
  switch (place_) {
    case Place::kNameBegin:
      if (tags_.name_begin.empty()) {
        place_ = Place::kName;
        return IsJsonSpace(c) ? Step::kMore : ReadName(c);
      }
      if (text_.empty() && IsJsonSpace(c)) return Step::kMore;
      text_.push_back(c);
      if (text_ == tags_.name_begin) {
        text_.clear();
        place_ = Place::kName;
        return Step::kMore;
      }
      return absl::StartsWith(tags_.name_begin, text_) ? Step::kMore : Step::kReject;
    case Place::kName:
      return ReadName(c);
    case Place::kBetween:
      return ReadBetween(c, sink);
    case Place::kKey:
      return ReadKey(c, sink);
    case Place::kValueBegin:
      if (text_.empty() && IsJsonSpace(c)) return Step::kMore;
      text_.push_back(c);
      if (text_ == tags_.value_begin) {
        text_.clear();
        place_ = Place::kValue;
        return Step::kMore;
      }
      return absl::StartsWith(tags_.value_begin, text_) ? Step::kMore : Step::kBroken;
    case Place::kValue:
      ReadValue(c, sink);
      return Step::kMore;
  }
  return Step::kReject;
}

Step TaggedCallReader::ReadName(char c) {
  const bool ends = tags_.name_end.empty() ? c == '\n' || c == '<' : c == tags_.name_end[0];
  if (!ends) {
    name_.push_back(c);
    return IsNameByte(c) && name_.size() <= kMaxNameBytes ? Step::kMore : Step::kReject;
  }
  place_ = Place::kBetween;
  if (c == '<') {
    text_.push_back(c);
  }
  return name_.empty() ? Step::kReject : Step::kMore;
}

Step TaggedCallReader::ReadBetween(char c, CallSink& sink) {
  if (text_.empty() && IsJsonSpace(c)) {
    return Step::kMore;
  }
  text_.push_back(c);
  if (text_ == tags_.key_begin) {
    text_.clear();
    place_ = Place::kKey;
    return Step::kMore;
  }
  if (text_ == tags_.end) {
    Begin(sink);
    sink.Arguments(first_argument_ ? "{}" : "}");
    sink.End();
    return Step::kDone;
  }
  const bool may_become_tag = absl::StartsWith(tags_.key_begin, text_) || absl::StartsWith(tags_.end, text_);
  return may_become_tag ? Step::kMore : Unexpected(sink);
}

Step TaggedCallReader::ReadKey(char c, CallSink& sink) {
  text_.push_back(c);
  if (!absl::EndsWith(text_, tags_.key_end)) {
    return text_.size() <= kMaxNameBytes ? Step::kMore : Unexpected(sink);
  }
  const std::string key = text_.substr(0, text_.size() - tags_.key_end.size());
  Begin(sink);
  is_string_ = schemas_.IsString(name_, key);
  sink.Arguments(absl::StrCat(first_argument_ ? "{" : ", ", Quoted(key), is_string_ ? ": \"" : ": "));
  first_argument_ = false;
  text_.clear();
  value_end_.emplace(absl::MakeConstSpan(&tags_.value_end, 1));
  value_empty_ = true;
  line_break_held_ = false;
  place_ = tags_.value_begin.empty() ? Place::kValue : Place::kValueBegin;
  return Step::kMore;
}

void TaggedCallReader::ReadValue(char c, CallSink& sink) {
  std::string plain;
  const bool ends = value_end_->Push(c, plain) != MarkerFinder::kNone;
  for (char p : plain) {
    const bool first = std::exchange(value_empty_, false);
    if (!tags_.value_on_own_lines || p != '\n') {
      if (std::exchange(line_break_held_, false)) AddValue("\n", sink);
      AddValue(absl::string_view(&p, 1), sink);
    } else if (!first) {
      if (std::exchange(line_break_held_, true)) AddValue("\n", sink);
    }
  }
  if (ends) {
    FinishValue(sink);
  }
}

void TaggedCallReader::AddValue(absl::string_view text, CallSink& sink) {
  if (is_string_) {
    for (char c : text) {
      sink.Arguments(EscapeJson(c));
    }
  } else {
    absl::StrAppend(&text_, text);
  }
}

void TaggedCallReader::FinishValue(CallSink& sink) {
  if (is_string_) {
    sink.Arguments("\"");
  } else {
    sink.Arguments(Json::accept(text_) ? text_ : Quoted(text_));
  }
  text_.clear();
  place_ = Place::kBetween;
}

// The call ends here, for what it has so far; what follows is no part of it.
Step TaggedCallReader::Unexpected(CallSink& sink) {
  if (begun_) {
    sink.Arguments("}");
    sink.End();
  }
  return Step::kReject;
}

void TaggedCallReader::Begin(CallSink& sink) {
  if (!std::exchange(begun_, true)) {
    sink.Begin(name_, "");
  }
}

}  // namespace tandem::router

// How a template fails inside the library. Any expression of a template may fail, as in Python, so a failure unwinds
// the evaluator as this exception; Template::Parse and Template::Render turn it into an absl::Status and nothing else
// sees it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tandem::jinja {

struct TemplateError {
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
  std::string message;
  int line = 0;  // 1-based; 0: not known yet, the evaluator fills it in
};

// The template or its data are at fault: wrong types, undefined values, bad syntax.
template <typename... Pieces>
[[noreturn]] void Fail(const Pieces&... pieces) {
  throw TemplateError{absl::StatusCode::kInvalidArgument, absl::StrCat(pieces...)};
}

// A limit of jinja::Limits was reached.
template <typename... Pieces>
[[noreturn]] void FailLimit(const Pieces&... pieces) {
  throw TemplateError{absl::StatusCode::kResourceExhausted, absl::StrCat(pieces...)};
}

}  // namespace tandem::jinja

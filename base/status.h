// Status macros and CHECKs. Errors cross module borders as absl::Status only; a failed CHECK is a bug of ours and ends
// the process with the place and the message.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem {

// Prefixes the message of a failed status with `context` ("layer 3: …"); OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

[[noreturn]] void CheckFailed(const char* file, int line, absl::string_view what);

}  // namespace tandem

#define TANDEM_CONCAT_INNER_(a, b) a##b
#define TANDEM_CONCAT_(a, b) TANDEM_CONCAT_INNER_(a, b)

#define RETURN_IF_ERROR(expr)                                       \
  do {                                                              \
    if (absl::Status tandem_status = (expr); !tandem_status.ok()) { \
      return tandem_status;                                         \
    }                                                               \
  } while (false)

// ASSIGN_OR_RETURN(auto x, F()): `x` is the value of F, or the enclosing function returns its error.
#define ASSIGN_OR_RETURN(lhs, expr) TANDEM_ASSIGN_OR_RETURN_(TANDEM_CONCAT_(statusor_, __LINE__), lhs, expr)
#define TANDEM_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp.ok()) {                               \
    return tmp.status();                         \
  }                                              \
  lhs = std::move(tmp).value()

#define TANDEM_CHECK(condition, ...)                                                                        \
  do {                                                                                                      \
    if (!(condition)) [[unlikely]] {                                                                        \
      ::tandem::CheckFailed(__FILE__, __LINE__, absl::StrCat(#condition __VA_OPT__(, ": ", ) __VA_ARGS__)); \
    }                                                                                                       \
  } while (false)

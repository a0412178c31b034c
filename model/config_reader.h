// Typed access to config.json that remembers the first error, so that families read as a list of fields.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tandem::model {

// Not thread-safe. Borrows the JSON.
class ConfigReader {
 public:
  explicit ConfigReader(const nlohmann::json& json) : json_(json) {}

  bool Has(absl::string_view key) const;
  // A missing required field, a wrong type or a value outside [min, max] becomes the reader's error; the call then
  // returns a harmless value.
  int64_t Int(absl::string_view key, int64_t min, int64_t max);
  int64_t IntOr(absl::string_view key, int64_t fallback, int64_t min, int64_t max);
  double NumberOr(absl::string_view key, double fallback);
  bool BoolOr(absl::string_view key, bool fallback);
  std::string StringOr(absl::string_view key, absl::string_view fallback);
  std::vector<int64_t> IntsOr(absl::string_view key, std::vector<int64_t> fallback);
  // The first of `keys` that is present; the first one when none is.
  std::string FirstOf(std::initializer_list<absl::string_view> keys) const;
  // An object field, or an empty object.
  const nlohmann::json& Object(absl::string_view key);

  void Fail(absl::string_view key, absl::string_view what);
  const absl::Status& status() const { return status_; }
  const nlohmann::json& json() const { return json_; }

 private:
  const nlohmann::json* Get(absl::string_view key) const;

  const nlohmann::json& json_;
  absl::Status status_;
};

}  // namespace tandem::model

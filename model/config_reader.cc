#include "model/config_reader.h"

#include "absl/strings/str_cat.h"

namespace tandem::model {

const nlohmann::json* ConfigReader::Get(absl::string_view key) const {
  if (!json_.is_object()) {
    return nullptr;
  }
  const auto it = json_.find(std::string(key));
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

bool ConfigReader::Has(absl::string_view key) const { return Get(key) != nullptr; }

void ConfigReader::Fail(absl::string_view key, absl::string_view what) {
  if (status_.ok()) {
    status_ = absl::InvalidArgumentError(absl::StrCat("config.json: ", key, " ", what));
  }
}

int64_t ConfigReader::Int(absl::string_view key, int64_t min, int64_t max) {
  if (!Has(key)) {
    Fail(key, "is missing");
    return min;
  }
  return IntOr(key, min, min, max);
}

int64_t ConfigReader::IntOr(absl::string_view key, int64_t fallback, int64_t min, int64_t max) {
  const nlohmann::json* value = Get(key);
  if (value == nullptr) {
    return fallback;
  }
  if (!value->is_number_integer() || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    Fail(key, absl::StrCat("is ", value->dump(), ", expected an integer from ", min, " to ", max));
    return fallback;
  }
  return value->get<int64_t>();
}

double ConfigReader::NumberOr(absl::string_view key, double fallback) {
  const nlohmann::json* value = Get(key);
  if (value == nullptr) {
    return fallback;
  }
  if (!value->is_number()) {
    Fail(key, absl::StrCat("is ", value->dump(), ", expected a number"));
    return fallback;
  }
  return value->get<double>();
}

bool ConfigReader::BoolOr(absl::string_view key, bool fallback) {
  const nlohmann::json* value = Get(key);
  if (value == nullptr) {
    return fallback;
  }
  if (!value->is_boolean()) {
    Fail(key, absl::StrCat("is ", value->dump(), ", expected true or false"));
    return fallback;
  }
  return value->get<bool>();
}

std::string ConfigReader::StringOr(absl::string_view key, absl::string_view fallback) {
  const nlohmann::json* value = Get(key);
  if (value == nullptr) {
    return std::string(fallback);
  }
  if (!value->is_string()) {
    Fail(key, absl::StrCat("is ", value->dump(), ", expected a string"));
    return std::string(fallback);
  }
  return value->get<std::string>();
}

std::vector<int64_t> ConfigReader::IntsOr(absl::string_view key, std::vector<int64_t> fallback) {
  const nlohmann::json* value = Get(key);
  if (value == nullptr) {
    return fallback;
  }
  if (value->is_number_integer()) {
    return {value->get<int64_t>()};
  }
  std::vector<int64_t> result;
  for (const auto& item : *value) {
    if (!item.is_number_integer()) {
      Fail(key, "is not a list of integers");
      return fallback;
    }
    result.push_back(item.get<int64_t>());
  }
  return result;
}

std::string ConfigReader::FirstOf(std::initializer_list<absl::string_view> keys) const {
  for (const absl::string_view key : keys) {
    if (Has(key)) {
      return std::string(key);
    }
  }
  return std::string(*keys.begin());
}

const nlohmann::json& ConfigReader::Object(absl::string_view key) {
  static const auto& empty = *new nlohmann::json(nlohmann::json::object());
  const nlohmann::json* value = Get(key);
  if (value == nullptr) {
    return empty;
  }
  if (!value->is_object()) {
    Fail(key, "is not an object");
    return empty;
  }
  return *value;
}

}  // namespace tandem::model

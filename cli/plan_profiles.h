// Profiles of the planner as files: hardware as JSON (docs/planning.md lists the fields), models as config.json.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/planner/profiles.h"

namespace tandem::cli {

struct PlanDTypes {
  std::string weights = "auto";  // auto: as it would be served; float32, bfloat16, fp8
  std::string wire = "auto";     // of dispatched rows; auto: as it would be served
  std::string kv_cache = "auto";
};

// `name` is a directory with a config.json, or that of one in profiles/models. Reads no weights.
// Errors: NOT_FOUND naming the places that were tried; those of config.json.
absl::StatusOr<scheduler::ModelProfile> ReadModelProfile(const std::string& name, const PlanDTypes& dtypes);

// `name` is a file, or that of one in profiles/hardware without ".json". Operations are those of the model's dtype.
// Errors: NOT_FOUND naming the places that were tried; INVALID_ARGUMENT naming the field.
absl::StatusOr<scheduler::DeviceProfile> ReadDeviceProfile(const std::string& name,
                                                           const scheduler::ModelProfile& model);
absl::StatusOr<scheduler::LinkProfile> ReadLinkProfile(const std::string& name);

// A curve as [[size, value], …], and what was measured of a model as an object.
nlohmann::ordered_json CurveToJson(const scheduler::Curve& curve);
nlohmann::ordered_json MeasuredToJson(const std::string& model, const std::string& shape,
                                      const scheduler::MeasuredParts& parts);

}  // namespace tandem::cli

// A model directory that has been read and checked, before any weight is loaded.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/weights.h"
#include "transport/expert_channel.h"

namespace tandem::cli {

struct OpenedModel {
  std::string dir;
  std::string name;  // the directory's last component
  model::ModelConfig config;
  model::Checkpoint checkpoint;
  model::ModelDTypes dtypes;
  transport::ModelIdentity identity;
};

// Reads config.json and the safetensors headers, and refuses what cannot be served, saying why. `dtype` as in --dtype,
// `kv_cache_dtype` as in --kv-cache-dtype, which concerns routers alone, `wire_dtype` as in --wire-dtype.
absl::StatusOr<std::shared_ptr<const OpenedModel>> OpenModel(const std::string& dir, const std::string& dtype,
                                                             const std::string& kv_cache_dtype = "auto",
                                                             const std::string& wire_dtype = "auto");

}  // namespace tandem::cli

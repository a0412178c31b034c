// Reading a Hugging Face model directory's configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/model_spec.h"

namespace tandem::model {

// What generation_config.json asks for by default; absent fields are left to the server.
struct GenerationConfig {
  std::vector<int32_t> eos_token_ids;  // falls back to config.json's
  std::optional<float> temperature;    // 0 when do_sample is false
  std::optional<float> top_p;
  std::optional<int32_t> top_k;
  std::optional<float> min_p;
  std::optional<int32_t> max_new_tokens;
};

struct ModelConfig {
  ModelSpec spec;
  GenerationConfig generation;
  std::string config_json;  // verbatim, for the checkpoint digest
};

// Errors: NOT_FOUND (no config.json), INVALID_ARGUMENT (malformed, or a field out of range, by name),
// UNIMPLEMENTED (unknown model_type: lists the supported ones).
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& model_dir);

// The part of it that works on the text of config.json.
absl::StatusOr<ModelSpec> ParseModelSpec(absl::string_view config_json);

}  // namespace tandem::model

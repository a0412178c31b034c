#include "model/config.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/status.h"
#include "model/families/family.h"

namespace tandem::model {
namespace {

constexpr size_t kMaxConfigBytes = 16 << 20;

absl::StatusOr<nlohmann::json> ParseObject(absl::string_view text, absl::string_view what) {
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(what, " is not a JSON object; the file is damaged"));
  }
  return json;
}

std::vector<int32_t> TokenIds(ConfigReader& config, absl::string_view key) {
  std::vector<int32_t> ids;
  for (const int64_t id : config.IntsOr(key, {})) {
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

absl::StatusOr<GenerationConfig> ReadGenerationConfig(const std::string& model_dir, const nlohmann::json& config_json) {
  GenerationConfig generation;
  ConfigReader config(config_json);
  generation.eos_token_ids = TokenIds(config, "eos_token_id");
  RETURN_IF_ERROR(config.status());
  const std::string path = JoinPath(model_dir, "generation_config.json");
  if (!FileExists(path)) {
    return generation;
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfigBytes));
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseObject(text, "generation_config.json"));
  ConfigReader reader(json);
  if (reader.Has("eos_token_id")) {
    generation.eos_token_ids = TokenIds(reader, "eos_token_id");
  }
  if (reader.Has("temperature")) {
    generation.temperature = static_cast<float>(reader.NumberOr("temperature", 1.0));
  }
  if (reader.Has("do_sample") && !reader.BoolOr("do_sample", true)) {
    generation.temperature = 0.0f;
  }
  if (reader.Has("top_p")) {
    generation.top_p = static_cast<float>(reader.NumberOr("top_p", 1.0));
  }
  if (reader.Has("top_k")) {
    generation.top_k = static_cast<int32_t>(reader.IntOr("top_k", 0, 0, INT32_MAX));
  }
  if (reader.Has("min_p")) {
    generation.min_p = static_cast<float>(reader.NumberOr("min_p", 0.0));
  }
  if (reader.Has("max_new_tokens")) {
    generation.max_new_tokens = static_cast<int32_t>(reader.IntOr("max_new_tokens", 1, 1, INT32_MAX));
  }
  const absl::Status status = reader.status();
  if (!status.ok()) {
    return Annotate(status, "generation_config.json");
  }
  return generation;
}

absl::StatusOr<ModelSpec> SpecFromJson(const nlohmann::json& json) {
  ConfigReader config(json);
  const std::string model_type = config.StringOr("model_type", "");
  std::vector<absl::string_view> known;
  for (const Family& family : Families()) {
    if (family.model_type == model_type) {
      ModelSpec spec;
      family.read(config, spec);
      RETURN_IF_ERROR(config.status());
      return spec;
    }
    known.push_back(family.model_type);
  }
  return absl::UnimplementedError(absl::StrCat("config.json: model_type '", model_type, "' is not supported; supported are ",
                                               absl::StrJoin(known, ", ")));
}

}  // namespace

absl::StatusOr<ModelSpec> ParseModelSpec(absl::string_view config_json) {
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseObject(config_json, "config.json"));
  return SpecFromJson(json);
}

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& model_dir) {
  const std::string path = JoinPath(model_dir, "config.json");
  absl::StatusOr<std::string> text = ReadFile(path, kMaxConfigBytes);
  if (!text.ok()) {
    return Annotate(text.status(), absl::StrCat(model_dir, " is not a Hugging Face model directory"));
  }
  ModelConfig config;
  config.config_json = *std::move(text);
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseObject(config.config_json, path));
  ASSIGN_OR_RETURN(config.spec, SpecFromJson(json));
  ASSIGN_OR_RETURN(config.generation, ReadGenerationConfig(model_dir, json));
  return config;
}

}  // namespace tandem::model

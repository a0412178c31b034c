#include "cli/plan_profiles.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/status.h"
#include "compute/dtype.h"
#include "model/config.h"
#include "model/decoder.h"
#include "model/weights.h"

namespace tandem::cli {
namespace {

using Json = nlohmann::ordered_json;
using scheduler::Curve;
using scheduler::DeviceProfile;
using scheduler::LinkProfile;
using scheduler::MeasuredParts;
using scheduler::ModelProfile;

// Where profiles lie: $TANDEM_PROFILES, the working directory, beside the build that runs, or where it is installed.
std::vector<std::string> ProfileFolders() {
  std::vector<std::string> folders;
  if (const char* folder = std::getenv("TANDEM_PROFILES"); folder != nullptr && *folder != 0) {
    folders.emplace_back(folder);
  }
  folders.emplace_back("profiles");
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const std::filesystem::path folder = program.parent_path();
    folders.push_back((folder / "../../profiles").lexically_normal().string());
    folders.push_back((folder / "../share/tandem/profiles").lexically_normal().string());
  }
  return folders;
}

absl::StatusOr<std::string> FindProfile(const std::string& name, absl::string_view kind, absl::string_view suffix,
                                        const std::string& direct) {
  if (FileExists(direct)) {
    return direct;
  }
  std::vector<std::string> tried = {direct};
  for (const std::string& folder : ProfileFolders()) {
    tried.push_back(JoinPath(folder, absl::StrCat(kind, "/", name, suffix)));
    if (FileExists(tried.back())) {
      return tried.back();
    }
  }
  return absl::NotFoundError(absl::StrCat("no profile '", name, "'; looked for ", absl::StrJoin(tried, ", ")));
}

double AttentionParameters(const model::ModelSpec& spec) {
  const model::AttentionSpec& a = spec.attention;
  const double hidden = static_cast<double>(spec.hidden_size);
  const double heads = a.num_attention_heads;
  if (a.kind == model::AttentionKind::kGqa) {
    return hidden * (heads + 2.0 * a.num_key_value_heads) * a.head_dim + heads * a.head_dim * hidden;
  }
  const double query = heads * (a.qk_nope_head_dim + a.qk_rope_head_dim);
  const double queries = a.q_lora_rank > 0 ? (hidden + query) * a.q_lora_rank : hidden * query;
  const double latent = a.kv_lora_rank;
  return queries + hidden * (latent + a.qk_rope_head_dim) + heads * latent * (a.qk_nope_head_dim + a.v_head_dim) +
         heads * a.v_head_dim * hidden;
}

absl::StatusOr<double> BytesOf(absl::string_view dtype, double automatic) {
  if (dtype == "auto") {
    return automatic;
  }
  if (dtype == "float32") {
    return 4.0;
  }
  if (dtype == "bfloat16") {
    return 2.0;
  }
  if (dtype == "fp8") {
    return 1.0;
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown dtype '", dtype, "'"));
}

// Reads fields, remembers the first error. A figure is {"value": …, "source": "…"}.
class ProfileReader {
 public:
  ProfileReader(std::string path, Json json) : path_(std::move(path)), json_(std::move(json)) {}

  static absl::StatusOr<ProfileReader> Open(const std::string& path, absl::string_view kind) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
    Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(path, " is not a JSON object"));
    }
    if (json.value("kind", "") != std::string(kind)) {
      return absl::InvalidArgumentError(absl::StrCat(path, " does not describe a ", kind, " (field \"kind\")"));
    }
    return ProfileReader(path, std::move(json));
  }

  std::string Name() const {
    return json_.contains("name") && json_["name"].is_string() ? json_["name"].get<std::string>() : path_;
  }

  double Figure(const char* field) { return json_.contains(field) ? Value(json_[field], field) : Missing(field); }
  double FigureOr(const char* field, double fallback) {
    return json_.contains(field) ? Value(json_[field], field) : fallback;
  }
  // One of several, by dtype.
  double FigureOf(const char* field, const std::string& key) {
    const bool there = json_.contains(field) && json_[field].is_object() && json_[field].contains(key);
    return there ? Value(json_[field][key], field) : Missing(absl::StrCat(field, ".", key));
  }

  const Json& json() const { return json_; }
  const absl::Status& status() const { return status_; }
  void Fail(absl::string_view field, absl::string_view what) {
    status_.Update(absl::InvalidArgumentError(absl::StrCat(path_, ": ", field, " ", what)));
  }

 private:
  double Missing(absl::string_view field) {
    Fail(field, "is missing");
    return 0;
  }
  double Value(const Json& figure, absl::string_view field) {
    const Json& value = figure.is_object() && figure.contains("value") ? figure["value"] : figure;
    if (!value.is_number() || value.get<double>() < 0) {
      Fail(field, "must be a number that is not negative");
      return 0;
    }
    return value.get<double>();
  }

  std::string path_;
  Json json_;
  absl::Status status_;
};

// Every part with its name in the file.
struct CurveField {
  const char* name;
  Curve MeasuredParts::*curve;
};
constexpr CurveField kCurves[] = {
    {"router", &MeasuredParts::router},
    {"shared", &MeasuredParts::shared},
    {"experts", &MeasuredParts::experts},
    {"inline_experts", &MeasuredParts::inline_experts},
    {"hand_off", &MeasuredParts::hand_off},
    {"wake_up", &MeasuredParts::wake_up},
    {"network_router", &MeasuredParts::network_router},
    {"network_experts", &MeasuredParts::network_experts},
    {"network_hand_off", &MeasuredParts::network_hand_off},
    {"router_again", &MeasuredParts::router_again},
    {"experts_again", &MeasuredParts::experts_again},
    {"router_frame", &MeasuredParts::router_frame},
    {"worker_frame", &MeasuredParts::worker_frame},
    {"head", &MeasuredParts::head},
    {"step", &MeasuredParts::step},
};
struct NumberField {
  const char* name;
  double MeasuredParts::*number;
};
constexpr NumberField kNumbers[] = {
    {"decode_position", &MeasuredParts::decode_position},
    {"prompt_position", &MeasuredParts::prompt_position},
    {"reference_step", &MeasuredParts::reference_step},
    {"inside_reference_step", &MeasuredParts::inside_reference_step},
    {"cut_reference_step", &MeasuredParts::cut_reference_step},
};

absl::StatusOr<MeasuredParts> ReadMeasured(const Json& json) {
  MeasuredParts parts;
  for (const CurveField& field : kCurves) {
    std::vector<std::pair<double, double>> points;
    const Json& list = json.value(field.name, Json::array());
    for (const Json& point : list) {
      if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_number()) {
        return absl::InvalidArgumentError(absl::StrCat("measured.", field.name, ": expected [[size, seconds], …]"));
      }
      points.emplace_back(point[0].get<double>(), point[1].get<double>());
    }
    parts.*field.curve = Curve(std::move(points));
  }
  for (const NumberField& field : kNumbers) {
    const bool optional = absl::EndsWith(field.name, "_reference_step");
    if (!json.contains(field.name) && optional) {
      continue;
    }
    if (!json.contains(field.name) || !json[field.name].is_number()) {
      return absl::InvalidArgumentError(absl::StrCat("measured.", field.name, " must be a number"));
    }
    parts.*field.number = json[field.name].get<double>();
  }
  return parts;
}

}  // namespace

absl::StatusOr<ModelProfile> ReadModelProfile(const std::string& name, const PlanDTypes& dtypes) {
  ASSIGN_OR_RETURN(const std::string path, FindProfile(name, "models", "/config.json", JoinPath(name, "config.json")));
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  ASSIGN_OR_RETURN(const model::ModelSpec spec, model::ParseModelSpec(text));
  ASSIGN_OR_RETURN(const model::ModelDTypes served, model::ChooseDTypes("auto", dtypes.kv_cache, spec));
  ModelProfile profile;
  profile.name = std::filesystem::path(path).parent_path().filename().string();
  for (const model::LayerSpec& layer : spec.layers) {
    profile.experts.push_back(layer.experts);
  }
  const double hidden = static_cast<double>(spec.hidden_size);
  profile.hidden_size = spec.hidden_size;
  profile.vocab_size = spec.vocab_size;
  profile.max_positions = spec.max_position_embeddings;
  profile.attention.parameters = AttentionParameters(spec);
  profile.attention.cache_bytes =
      static_cast<double>(model::Decoder::KvBytesPerToken(spec, served.kv_cache)) / spec.num_layers();
  profile.attention.operations_position =
      2.0 * spec.attention.num_attention_heads * (spec.attention.key_dim() + spec.attention.value_dim());
  profile.num_experts = spec.gate.num_experts;
  profile.top_k = spec.gate.num_experts_per_tok;
  profile.expert_parameters = static_cast<double>(spec.expert_parameters());
  profile.shared_parameters = 3 * hidden * static_cast<double>(spec.shared_intermediate_size);
  profile.dense_parameters = 3 * hidden * static_cast<double>(spec.intermediate_size);
  profile.gate_parameters = hidden * spec.gate.num_experts;
  profile.embedding_parameters = hidden * static_cast<double>(spec.vocab_size) * (spec.tie_word_embeddings ? 1 : 2);
  const double wire = static_cast<double>(compute::DTypeBytes(served.wire));
  ASSIGN_OR_RETURN(profile.weight_bytes,
                   BytesOf(dtypes.weights, static_cast<double>(compute::DTypeBytes(served.weights))));
  ASSIGN_OR_RETURN(profile.dispatch_bytes, BytesOf(dtypes.wire, wire));
  profile.combine_bytes = std::max(profile.dispatch_bytes, dtypes.wire == "fp8" ? 2.0 : profile.dispatch_bytes);
  return profile;
}

absl::StatusOr<DeviceProfile> ReadDeviceProfile(const std::string& name, const ModelProfile& model) {
  ASSIGN_OR_RETURN(const std::string path, FindProfile(name, "hardware", ".json", name));
  ASSIGN_OR_RETURN(ProfileReader reader, ProfileReader::Open(path, "device"));
  const std::string dtype = model.weight_bytes == 1 ? "fp8" : model.weight_bytes == 2 ? "bfloat16" : "float32";
  DeviceProfile device;
  device.name = reader.Name();
  device.memory_bytes = reader.Figure("memory_bytes");
  device.memory_bandwidth = reader.Figure("memory_bandwidth");
  device.bandwidth_share = reader.FigureOr("bandwidth_share", 1);
  device.operations = reader.FigureOf("operations", dtype);
  device.operations_share = reader.FigureOr("operations_share", 1);
  device.attention_operations = reader.FigureOf("operations", dtype == "fp8" ? "bfloat16" : dtype);
  device.router_overhead = reader.FigureOr("router_overhead", 0);
  device.expert_overhead = reader.FigureOr("expert_overhead", 0);
  device.step_overhead = reader.FigureOr("step_overhead", 0);
  device.sequence_overhead = reader.FigureOr("sequence_overhead", 0);
  device.price_per_hour = reader.FigureOr("price_per_hour", 0);
  RETURN_IF_ERROR(reader.status());
  if (device.memory_bandwidth == 0 || device.operations == 0 || device.attention_operations == 0 ||
      device.bandwidth_share == 0 || device.operations_share == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": bandwidth, operations and their shares must be positive"));
  }
  for (const Json& measured : reader.json().value("measured", Json::array())) {
    absl::StatusOr<MeasuredParts> parts = ReadMeasured(measured);
    if (!parts.ok()) {
      return Annotate(parts.status(), path);
    }
    device.measured.emplace_back(measured.value("shape", ""), *std::move(parts));
  }
  return device;
}

absl::StatusOr<LinkProfile> ReadLinkProfile(const std::string& name) {
  ASSIGN_OR_RETURN(const std::string path, FindProfile(name, "hardware", ".json", name));
  ASSIGN_OR_RETURN(ProfileReader reader, ProfileReader::Open(path, "link"));
  LinkProfile link;
  link.name = reader.Name();
  link.latency = reader.Figure("latency");
  link.bytes_per_second = reader.Figure("bytes_per_second");
  link.bandwidth_share = reader.FigureOr("bandwidth_share", 1);
  link.frame_overhead = reader.FigureOr("frame_overhead", 0);
  RETURN_IF_ERROR(reader.status());
  return link;
}

Json CurveToJson(const Curve& curve) {
  Json json = Json::array();
  for (const auto& [size, value] : curve.points()) {
    json.push_back({size, value});
  }
  return json;
}

Json MeasuredToJson(const std::string& model, const std::string& shape, const MeasuredParts& parts) {
  Json json = {{"model", model}, {"shape", shape}};
  for (const CurveField& field : kCurves) {
    json[field.name] = CurveToJson(parts.*field.curve);
  }
  for (const NumberField& field : kNumbers) {
    json[field.name] = parts.*field.number;
  }
  return json;
}

}  // namespace tandem::cli

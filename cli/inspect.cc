// tandem inspect: what a checkpoint is, needs, and would be placed like. Reads headers only.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/opened_model.h"
#include "cli/stage_flags.h"
#include "model/decoder.h"
#include "model/tensor_names.h"
#include "router/stage_share.h"
#include "scheduler/placement.h"

namespace tandem::cli {
namespace {

struct InspectFlags {
  std::string model_dir;
  std::string dtype = "auto";
  std::string kv_cache_dtype = "auto";
  int expert_workers = 2;
  StageFlags stages;
  bool json = false;
};

std::string Bytes(int64_t bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat(unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

std::string Count(int64_t n) {
  if (n >= 1'000'000'000) {
    return absl::StrFormat("%.2f B", static_cast<double>(n) / 1e9);
  }
  return absl::StrFormat("%.2f M", static_cast<double>(n) / 1e6);
}

int64_t Elements(const model::StoredTensor& tensor) {
  int64_t n = 1;
  for (const int64_t dim : tensor.shape) {
    n *= dim;
  }
  return n;
}

// Parameters of one layer that a router holds.
int64_t RouterParameters(const OpenedModel& opened, int layer) {
  const model::ModelSpec& spec = opened.config.spec;
  const std::string prefix = model::LayerTensor(spec, layer, "");
  int64_t parameters = spec.layers[layer].experts ? -spec.expert_parameters() * spec.gate.num_experts : 0;
  for (const auto& [name, tensor] : opened.checkpoint.tensors()) {
    if (absl::StartsWith(name, prefix) && !absl::EndsWith(name, "_scale_inv")) {
      parameters += Elements(tensor);
    }
  }
  return parameters;
}

// What each pipeline stage holds.
nlohmann::ordered_json DescribeStages(const OpenedModel& opened, const scheduler::StageLayout& layout) {
  const model::ModelSpec& spec = opened.config.spec;
  const int64_t weight_bytes = static_cast<int64_t>(compute::DTypeBytes(opened.dtypes.weights));
  nlohmann::ordered_json stages = nlohmann::ordered_json::array();
  for (int stage = 0; stage < layout.num_stages; ++stage) {
    const model::ModelShare share = router::ShareOf(layout, stage);
    int64_t parameters = int64_t{share.embedding + share.lm_head} * spec.vocab_size * spec.hidden_size;
    parameters += share.lm_head ? spec.hidden_size : 0;  // its norm
    nlohmann::ordered_json layers = nlohmann::ordered_json::array();
    for (const LayerRange& range : share.ranges) {
      layers.push_back(absl::StrCat(range.begin, "-", range.end - 1));
      for (int layer = range.begin; layer < range.end; ++layer) {
        parameters += RouterParameters(opened, layer);
      }
    }
    stages.push_back({{"stage", stage},
                      {"layers", std::move(layers)},
                      {"weight_bytes", parameters * weight_bytes},
                      {"kv_bytes_per_token", model::Decoder::KvBytesPerToken(spec, opened.dtypes.kv_cache,
                                                                             share.num_kv_layers())}});
  }
  return stages;
}

nlohmann::ordered_json Describe(const OpenedModel& opened, int expert_workers) {
  const model::ModelSpec& spec = opened.config.spec;
  const int moe_layers = static_cast<int>(spec.moe_layers().size());
  const int64_t expert_parameters = spec.expert_parameters();
  const int64_t routed = expert_parameters * spec.gate.num_experts * moe_layers;
  int64_t stored = 0;
  int64_t mtp = 0;
  for (const auto& [name, tensor] : opened.checkpoint.tensors()) {
    bool is_mtp = false;
    for (int i = 0; i < spec.num_nextn_predict_layers; ++i) {
      is_mtp |= absl::StartsWith(name, model::LayerTensor(spec, spec.num_layers() + i, ""));
    }
    if (!absl::EndsWith(name, "_scale_inv")) {
      (is_mtp ? mtp : stored) += Elements(tensor);
    }
  }
  const int64_t active = stored - routed + expert_parameters * spec.gate.num_experts_per_tok * moe_layers;
  const int64_t weight_bytes = static_cast<int64_t>(compute::DTypeBytes(opened.dtypes.weights));
  const bool mla = spec.attention.kind == model::AttentionKind::kMla;
  nlohmann::ordered_json json = {
      {"model", opened.name},
      {"model_type", spec.model_type},
      {"checkpoint_dtype", std::string(compute::DTypeName(spec.checkpoint_dtype))},
      {"served_dtype", std::string(compute::DTypeName(opened.dtypes.weights))},
      {"parameters", stored},
      {"active_parameters", active},
      {"mtp_parameters_not_served", mtp},
      {"num_hidden_layers", spec.num_layers()},
      {"moe_layers", moe_layers},
      {"hidden_size", spec.hidden_size},
      {"vocab_size", spec.vocab_size},
      {"max_position_embeddings", spec.max_position_embeddings},
      {"attention", mla ? "mla" : "gqa"},
      {"num_attention_heads", spec.attention.num_attention_heads},
      {"num_experts", spec.gate.num_experts},
      {"num_experts_per_tok", spec.gate.num_experts_per_tok},
      {"moe_intermediate_size", spec.moe_intermediate_size},
      {"kv_cache_dtype", std::string(compute::DTypeName(opened.dtypes.kv_cache))},
      {"kv_bytes_per_token", model::Decoder::KvBytesPerToken(spec, opened.dtypes.kv_cache)},
      {"router_weight_bytes", (stored - routed) * weight_bytes},
      {"expert_weight_bytes", routed * weight_bytes},
      {"checkpoint_digest", opened.identity.checkpoint_digest},
  };
  nlohmann::ordered_json workers = nlohmann::ordered_json::array();
  if (expert_workers > 0) {
    const scheduler::Placement placement =
        scheduler::StaticPlacement(spec.moe_layers(), spec.gate.num_experts, expert_workers);
    for (int worker = 0; worker < expert_workers; ++worker) {
      const int64_t experts = static_cast<int64_t>(placement.ExpertsOf(worker).size());
      workers.push_back({{"worker", worker}, {"experts", experts}, {"bytes", experts * expert_parameters * weight_bytes}});
    }
  }
  json["placement"] = std::move(workers);
  return json;
}

void PrintForPeople(const nlohmann::ordered_json& d) {
  const auto number = [&](const char* key) { return d[key].get<int64_t>(); };
  const auto line = [](const char* label, const std::string& value) { absl::PrintF("%-18s %s\n", label, value); };
  line("model", absl::StrCat(d["model"].get<std::string>(), " (", d["model_type"].get<std::string>(), ")"));
  line("parameters", absl::StrCat(Count(number("parameters")), ", ", Count(number("active_parameters")), " active a token"));
  if (number("mtp_parameters_not_served") > 0) {
    line("MTP module", absl::StrCat(Count(number("mtp_parameters_not_served")), ", recognised, not served"));
  }
  line("dtype", absl::StrCat(d["checkpoint_dtype"].get<std::string>(), " stored, ", d["served_dtype"].get<std::string>(),
                             " served"));
  line("layers", absl::StrCat(number("num_hidden_layers"), ", ", number("moe_layers"), " with experts; hidden_size ",
                              number("hidden_size")));
  line("attention", absl::StrCat(d["attention"].get<std::string>(), ", ", number("num_attention_heads"), " heads; context ",
                                 number("max_position_embeddings")));
  line("experts", absl::StrCat(number("num_experts"), " a layer, ", number("num_experts_per_tok"),
                               " a token, intermediate size ", number("moe_intermediate_size")));
  line("router memory", absl::StrCat(Bytes(number("router_weight_bytes")), " of weights, ",
                                     Bytes(number("kv_bytes_per_token")), " of KV cache a token (",
                                     d["kv_cache_dtype"].get<std::string>(), ")"));
  for (const auto& stage : d.value("pipeline_stages", nlohmann::ordered_json::array())) {
    line(absl::StrCat("  stage ", stage["stage"].get<int>()).c_str(),
         absl::StrCat("layers ", absl::StrJoin(stage["layers"].get<std::vector<std::string>>(), " and "), ", ",
                      Bytes(stage["weight_bytes"].get<int64_t>()), " of weights, ",
                      Bytes(stage["kv_bytes_per_token"].get<int64_t>()), " of KV cache a token"));
  }
  line("expert memory", Bytes(number("expert_weight_bytes")));
  for (const auto& worker : d["placement"]) {
    line(absl::StrCat("  worker ", worker["worker"].get<int>()).c_str(),
         absl::StrCat(worker["experts"].get<int64_t>(), " experts, ", Bytes(worker["bytes"].get<int64_t>())));
  }
  line("digest", d["checkpoint_digest"].get<std::string>());
}

absl::Status Inspect(const InspectFlags& flags) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened, OpenModel(flags.model_dir, flags.dtype, flags.kv_cache_dtype));
  nlohmann::ordered_json description = Describe(*opened, flags.expert_workers);
  if (flags.stages.pipeline_stages > 1) {
    ASSIGN_OR_RETURN(const StagePlan plan, PlanOfHead(flags.stages, opened->config.spec.num_layers()));
    description["pipeline_stages"] = DescribeStages(*opened, plan.layout);
  }
  if (flags.json) {
    std::printf("%s\n", description.dump(2).c_str());
  } else {
    PrintForPeople(description);
  }
  return absl::OkStatus();
}

}  // namespace

void AddInspect(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = app.add_subcommand("inspect", "What a checkpoint is, needs and would be placed like");
  command->add_option("model", flags->model_dir, "Directory of a Hugging Face checkpoint")->required();
  command->add_option("--dtype", flags->dtype, "As it would be served")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str();
  AddKvCacheDTypeFlag(*command, flags->kv_cache_dtype);
  command->add_option("--expert-workers", flags->expert_workers, "Workers to place the experts on")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  AddPipelineStagesFlag(*command, flags->stages);
  AddStagePolicyFlag(*command, flags->stages);
  command->add_flag("--json", flags->json, "One JSON object");
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Inspect(*flags); });
}

}  // namespace tandem::cli

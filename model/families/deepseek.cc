// DeepSeek-V2 (arXiv:2405.04434) and -V3 (arXiv:2412.19437), and models of their shape (R1, V3.1, Kimi K2).
#include "absl/strings/str_cat.h"
#include "model/families/family.h"

namespace tandem::model {
namespace {

void ReadDeepseek(ConfigReader& config, ModelSpec& spec) {
  ReadCommon(config, spec);
  ReadMla(config, spec);
  ReadExperts(config, spec);
  ReadLeadingDenseLayers(config, spec);
  spec.shared_intermediate_size = config.IntOr("n_shared_experts", 0, 0, 64) * spec.moe_intermediate_size;
}

}  // namespace

void ReadDeepseekV2(ConfigReader& config, ModelSpec& spec) {
  ReadDeepseek(config, spec);
  spec.gate.scoring = compute::GateScoring::kSoftmax;
  const std::string method = config.StringOr("topk_method", "greedy");
  if (method == "greedy") {
    spec.gate.n_group = spec.gate.topk_group = 1;
  } else if (method != "group_limited_greedy") {
    config.Fail("topk_method", absl::StrCat("is '", method, "'; supported are greedy and group_limited_greedy"));
  }
  spec.gate.group_score = compute::GroupScore::kMax;
}

void ReadDeepseekV3(ConfigReader& config, ModelSpec& spec) {
  ReadDeepseek(config, spec);
  const std::string scoring = config.StringOr("scoring_func", "sigmoid");
  const std::string method = config.StringOr("topk_method", "noaux_tc");
  if (scoring != "sigmoid" || method != "noaux_tc") {
    config.Fail("topk_method", absl::StrCat("is '", method, "' with scoring_func '", scoring,
                                            "'; supported is noaux_tc with sigmoid"));
  }
  spec.gate.scoring = compute::GateScoring::kSigmoid;
  spec.gate.group_score = compute::GroupScore::kTop2Sum;
  spec.gate.norm_topk_prob = config.BoolOr("norm_topk_prob", true);
  spec.gate.correction_bias = true;
}

}  // namespace tandem::model

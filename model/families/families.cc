#include "model/families/family.h"

namespace tandem::model {

absl::Span<const Family> Families() {
  static constexpr Family kFamilies[] = {
      {"deepseek_v2", ReadDeepseekV2}, {"deepseek_v3", ReadDeepseekV3}, {"kimi_k2", ReadDeepseekV3},
      {"glm4_moe", ReadGlm4Moe},       {"llama", ReadLlama},            {"mixtral", ReadMixtral},
      {"olmoe", ReadOlmoe},            {"qwen2_moe", ReadQwen2Moe},     {"qwen3", ReadQwen3},
      {"qwen3_moe", ReadQwen3Moe},
  };
  return kFamilies;
}

}  // namespace tandem::model

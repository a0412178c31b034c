#include "model/tensor_names.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace tandem::model {
namespace {

MlpTensors Mlp(const ModelSpec& spec, int layer, absl::string_view prefix) {
  const auto name = [&](absl::string_view projection) {
    return LayerTensor(spec, layer, absl::StrCat(prefix, projection, ".weight"));
  };
  return {name(spec.names.gate_proj), name(spec.names.up_proj), name(spec.names.down_proj)};
}

}  // namespace

std::string LayerTensor(const ModelSpec& spec, int layer, absl::string_view rest) {
  return absl::StrCat(absl::StrReplaceAll(spec.names.layer, {{"{L}", absl::StrCat(layer)}}), rest);
}

std::string AttentionTensor(const ModelSpec& spec, int layer, absl::string_view rest) {
  return LayerTensor(spec, layer, absl::StrCat(spec.names.attention, rest));
}

MlpTensors ExpertTensors(const ModelSpec& spec, int layer, int expert) {
  return Mlp(spec, layer, absl::StrReplaceAll(spec.names.expert, {{"{E}", absl::StrCat(expert)}}));
}

MlpTensors SharedExpertTensors(const ModelSpec& spec, int layer) { return Mlp(spec, layer, spec.names.shared_expert); }

MlpTensors DenseMlpTensors(const ModelSpec& spec, int layer) { return Mlp(spec, layer, spec.names.dense_mlp); }

}  // namespace tandem::model

// Full tensor names of a spec's weights.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "model/model_spec.h"

namespace tandem::model {

// "model.layers.3." + `rest`
std::string LayerTensor(const ModelSpec& spec, int layer, absl::string_view rest);

// "model.layers.3.self_attn." + `rest`
std::string AttentionTensor(const ModelSpec& spec, int layer, absl::string_view rest);

// The three projections of one MLP.
struct MlpTensors {
  std::string gate;
  std::string up;
  std::string down;
};
MlpTensors ExpertTensors(const ModelSpec& spec, int layer, int expert);
MlpTensors SharedExpertTensors(const ModelSpec& spec, int layer);
MlpTensors DenseMlpTensors(const ModelSpec& spec, int layer);

}  // namespace tandem::model

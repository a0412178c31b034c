#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "model/tensor_names.h"
#include "model/weights.h"

namespace tandem::model {
namespace {

using NameSet = absl::flat_hash_set<std::string>;

void AddMlp(const MlpTensors& names, NameSet& known) {
  known.insert(names.gate);
  known.insert(names.up);
  known.insert(names.down);
}

void AddLayer(const ModelSpec& spec, int layer, NameSet& known) {
  known.insert(LayerTensor(spec, layer, absl::StrCat(spec.names.input_norm, ".weight")));
  known.insert(LayerTensor(spec, layer, absl::StrCat(spec.names.post_attention_norm, ".weight")));
  std::vector<absl::string_view> attention = {"o_proj.weight"};
  if (spec.attention.kind == AttentionKind::kMla) {
    attention.insert(attention.end(), {"kv_a_proj_with_mqa.weight", "kv_a_layernorm.weight", "kv_b_proj.weight"});
    if (spec.attention.q_lora_rank > 0) {
      attention.insert(attention.end(), {"q_a_proj.weight", "q_a_layernorm.weight", "q_b_proj.weight"});
    } else {
      attention.push_back("q_proj.weight");
    }
  } else {
    attention.insert(attention.end(), {"q_proj.weight", "k_proj.weight", "v_proj.weight"});
    if (spec.attention.qkv_bias) {
      attention.insert(attention.end(), {"q_proj.bias", "k_proj.bias", "v_proj.bias"});
    }
    if (spec.attention.qk_norm != compute::QkNorm::kNone) {
      attention.insert(attention.end(), {"q_norm.weight", "k_norm.weight"});
    }
  }
  if (spec.attention.o_bias) {
    attention.push_back("o_proj.bias");
  }
  for (const absl::string_view name : attention) {
    known.insert(AttentionTensor(spec, layer, name));
  }
  if (!spec.layers[layer].experts) {
    AddMlp(DenseMlpTensors(spec, layer), known);
    return;
  }
  known.insert(LayerTensor(spec, layer, absl::StrCat(spec.names.gate, ".weight")));
  known.insert(LayerTensor(spec, layer, spec.names.correction_bias));
  for (int expert = 0; expert < spec.gate.num_experts; ++expert) {
    AddMlp(ExpertTensors(spec, layer, expert), known);
  }
  if (spec.shared_intermediate_size > 0) {
    AddMlp(SharedExpertTensors(spec, layer), known);
  }
  if (spec.shared_expert_gate) {
    known.insert(LayerTensor(spec, layer, absl::StrCat(spec.names.shared_expert_gate, ".weight")));
  }
}

// Tensors that no forward pass needs: MTP layers, and buffers that old exports contain.
bool IsIgnorable(const ModelSpec& spec, absl::string_view name) {
  for (int i = 0; i < spec.num_nextn_predict_layers; ++i) {
    if (absl::StartsWith(name, LayerTensor(spec, spec.num_layers() + i, ""))) {
      return true;
    }
  }
  return absl::EndsWith(name, ".rotary_emb.inv_freq") ||
         (spec.tie_word_embeddings && name == absl::StrCat(spec.names.lm_head, ".weight"));
}

}  // namespace

absl::Status CheckNoUnknownTensors(const ModelSpec& spec, const Checkpoint& checkpoint) {
  NameSet known = {absl::StrCat(spec.names.embed_tokens, ".weight"), absl::StrCat(spec.names.norm, ".weight"),
                   absl::StrCat(spec.names.lm_head, ".weight")};
  for (int layer = 0; layer < spec.num_layers(); ++layer) {
    AddLayer(spec, layer, known);
  }
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    absl::string_view base = name;
    absl::ConsumeSuffix(&base, "_scale_inv");
    if (!known.contains(base) && !IsIgnorable(spec, name)) {
      return absl::UnimplementedError(absl::StrCat("tensor ", name, " of the checkpoint is not part of model_type '",
                                                   spec.model_type, "' as its config.json describes it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem::model

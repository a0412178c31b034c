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

void AddAttention(const ModelSpec& spec, int layer, NameSet& known) {
  const auto add = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      known.insert(AttentionTensor(spec, layer, name));
    }
  };
  add({"o_proj.weight"});
  if (spec.attention.o_bias) {
    add({"o_proj.bias"});
  }
  if (spec.attention.kind == AttentionKind::kMla) {
    add({"kv_a_proj_with_mqa.weight", "kv_a_layernorm.weight", "kv_b_proj.weight"});
    if (spec.attention.q_lora_rank > 0) {
      add({"q_a_proj.weight", "q_a_layernorm.weight", "q_b_proj.weight"});
    } else {
      add({"q_proj.weight"});
    }
    return;
  }
  add({"q_proj.weight", "k_proj.weight", "v_proj.weight"});
  if (spec.attention.qkv_bias) {
    add({"q_proj.bias", "k_proj.bias", "v_proj.bias"});
  }
  if (spec.attention.qk_norm != compute::QkNorm::kNone) {
    add({"q_norm.weight", "k_norm.weight"});
  }
}

void AddLayer(const ModelSpec& spec, int layer, NameSet& known) {
  known.insert(LayerTensor(spec, layer, absl::StrCat(spec.names.input_norm, ".weight")));
  known.insert(LayerTensor(spec, layer, absl::StrCat(spec.names.post_attention_norm, ".weight")));
  AddAttention(spec, layer, known);
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

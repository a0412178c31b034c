#include "model/weights.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/rope.h"
#include "model/tensor_names.h"

namespace tandem::model {
namespace {

using compute::Backend;
using compute::DType;
using compute::MatrixPtr;
using compute::MlpWeightsPtr;
using compute::RowReader;
using compute::Tensor;

struct MatrixPart {
  RowReader reader;
  int64_t rows;
};

// The parts' rows one below the other.
RowReader StackRows(std::vector<MatrixPart> parts) {
  return [parts = std::move(parts)](int64_t row, absl::Span<float> out) {
    for (const MatrixPart& part : parts) {
      if (row < part.rows) {
        part.reader(row, out);
        return;
      }
      row -= part.rows;
    }
  };
}

// Loads one model's router weights; exists only inside LoadRouterWeights.
class RouterLoader {
 public:
  RouterLoader(const ModelSpec& spec, const Checkpoint& checkpoint, const ModelDTypes& dtypes, Backend& backend)
      : spec_(spec), checkpoint_(checkpoint), dtypes_(dtypes), backend_(backend) {}

  absl::StatusOr<RouterWeights> Load(int64_t max_position, const ProgressCallback& progress, const ModelShare& share) {
    RouterWeights weights;
    weights.share = share;
    RETURN_IF_ERROR(LoadEnds(weights));
    const std::vector<float> table = RopeTable(spec_.attention.rope, max_position);
    ASSIGN_OR_RETURN(rope_.cos_sin, UploadF32(table, {max_position, spec_.attention.rope.rotary_dim}));
    rope_.rotary_dim = spec_.attention.rope.rotary_dim;
    rope_.interleaved = spec_.attention.rope.interleaved;
    weights.layers.resize(spec_.num_layers());
    int loaded = 0;
    for (const LayerRange& range : share.ranges) {
      for (int layer = range.begin; layer < range.end; ++layer) {
        absl::StatusOr<LayerWeights> of_layer = LoadLayer(layer);
        if (!of_layer.ok()) {
          return Annotate(of_layer.status(), absl::StrCat("layer ", layer));
        }
        weights.layers[layer] = *std::move(of_layer);
        if (progress) {
          progress(static_cast<double>(++loaded) / share.num_layers());
        }
      }
    }
    return weights;
  }

 private:
  absl::StatusOr<Tensor> UploadF32(absl::Span<const float> values, compute::Shape shape) {
    ASSIGN_OR_RETURN(Tensor tensor, backend_.Allocate(DType::kF32, shape));
    backend_.Upload(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(values.data()), values.size() * 4), tensor);
    RETURN_IF_ERROR(backend_.Record()->Wait());
    return tensor;
  }

  absl::StatusOr<Tensor> LoadVector(const std::string& name, int64_t size) {
    ASSIGN_OR_RETURN(const std::vector<float> values, checkpoint_.ReadF32(name, {size}));
    return UploadF32(values, {size});
  }

  absl::StatusOr<MatrixPtr> LoadMatrix(const std::string& name, int64_t rows, int64_t cols) {
    ASSIGN_OR_RETURN(const RowReader reader, checkpoint_.MatrixReader(name, rows, cols));
    return backend_.PackMatrix(dtypes_.weights, 1, rows, cols, reader);
  }

  absl::StatusOr<Tensor> LoadEmbedding(const std::string& name) {
    const compute::Shape shape = {spec_.vocab_size, spec_.hidden_size};
    ASSIGN_OR_RETURN(const RowReader reader, checkpoint_.MatrixReader(name, shape[0], shape[1]));
    ASSIGN_OR_RETURN(Tensor table, backend_.Allocate(dtypes_.weights, shape));
    const int64_t row_bytes = table.size_bytes() / shape[0];
    std::vector<float> row(shape[1]);
    std::vector<std::byte> converted(row_bytes);
    for (int64_t i = 0; i < shape[0]; ++i) {
      reader(i, absl::MakeSpan(row));
      if (dtypes_.weights == DType::kF32) {
        std::memcpy(converted.data(), row.data(), row_bytes);
      } else {
        for (int64_t j = 0; j < shape[1]; ++j) {
          const uint16_t bits = compute::F32ToBF16(row[j]);
          std::memcpy(converted.data() + j * 2, &bits, 2);
        }
      }
      backend_.Upload(converted, table.Rows(i, 1));
      RETURN_IF_ERROR(backend_.Record()->Wait());
    }
    return table;
  }

  absl::Status LoadEnds(RouterWeights& weights) {
    const std::string embedding = absl::StrCat(spec_.names.embed_tokens, ".weight");
    if (weights.share.embedding) {
      ASSIGN_OR_RETURN(weights.embedding, LoadEmbedding(embedding));
    }
    if (weights.share.lm_head) {
      const std::string head = absl::StrCat(spec_.names.lm_head, ".weight");
      ASSIGN_OR_RETURN(weights.norm, LoadVector(absl::StrCat(spec_.names.norm, ".weight"), spec_.hidden_size));
      ASSIGN_OR_RETURN(weights.lm_head, LoadMatrix(spec_.tie_word_embeddings ? embedding : head, spec_.vocab_size,
                                                   spec_.hidden_size));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<LayerWeights> LoadLayer(int layer) {
    LayerWeights weights;
    const auto norm = [&](absl::string_view name) {
      return LoadVector(LayerTensor(spec_, layer, absl::StrCat(name, ".weight")), spec_.hidden_size);
    };
    ASSIGN_OR_RETURN(weights.input_norm, norm(spec_.names.input_norm));
    ASSIGN_OR_RETURN(weights.post_attention_norm, norm(spec_.names.post_attention_norm));
    weights.attention.scale = spec_.attention.scale;
    weights.attention.value_dim = spec_.attention.value_dim();
    weights.attention.sliding_window = spec_.layers[layer].sliding_window;
    RETURN_IF_ERROR(spec_.attention.kind == AttentionKind::kMla ? LoadMla(layer, weights) : LoadGqa(layer, weights));
    RETURN_IF_ERROR(spec_.layers[layer].experts ? LoadMoe(layer, weights) : LoadDense(layer, weights));
    return weights;
  }

  absl::Status LoadGqa(int layer, LayerWeights& weights) {
    const AttentionSpec& attention = spec_.attention;
    const int64_t q_rows = int64_t{attention.num_attention_heads} * attention.head_dim;
    const int64_t kv_rows = int64_t{attention.num_key_value_heads} * attention.head_dim;
    const std::pair<absl::string_view, int64_t> projections[] = {
        {"q_proj", q_rows}, {"k_proj", kv_rows}, {"v_proj", kv_rows}};
    std::vector<MatrixPart> parts;
    std::vector<float> bias;
    for (const auto& [name, rows] : projections) {
      ASSIGN_OR_RETURN(RowReader reader,
                       checkpoint_.MatrixReader(AttentionTensor(spec_, layer, absl::StrCat(name, ".weight")), rows,
                                                spec_.hidden_size));
      parts.push_back({std::move(reader), rows});
      if (attention.qkv_bias) {
        ASSIGN_OR_RETURN(const std::vector<float> part,
                         checkpoint_.ReadF32(AttentionTensor(spec_, layer, absl::StrCat(name, ".bias")), {rows}));
        bias.insert(bias.end(), part.begin(), part.end());
      }
    }
    const int64_t rows = q_rows + 2 * kv_rows;
    ASSIGN_OR_RETURN(weights.qkv, backend_.PackMatrix(dtypes_.weights, 1, rows, spec_.hidden_size,
                                                      StackRows(std::move(parts))));
    if (attention.qkv_bias) {
      ASSIGN_OR_RETURN(weights.qkv_bias, UploadF32(bias, {rows}));
    }
    compute::GqaArgs& gqa = weights.gqa;
    gqa.num_heads = attention.num_attention_heads;
    gqa.num_kv_heads = attention.num_key_value_heads;
    gqa.head_dim = attention.head_dim;
    gqa.qk_norm = attention.qk_norm;
    gqa.norm_eps = spec_.rms_norm_eps;
    gqa.clip_qkv = attention.clip_qkv;
    gqa.rope = rope_;
    if (attention.qk_norm != compute::QkNorm::kNone) {
      const bool full = attention.qk_norm == compute::QkNorm::kFullWidth;
      ASSIGN_OR_RETURN(gqa.q_norm, LoadVector(AttentionTensor(spec_, layer, "q_norm.weight"),
                                              full ? q_rows : attention.head_dim));
      ASSIGN_OR_RETURN(gqa.k_norm, LoadVector(AttentionTensor(spec_, layer, "k_norm.weight"),
                                              full ? kv_rows : attention.head_dim));
    }
    return LoadOutput(layer, q_rows, weights);
  }

  absl::Status LoadOutput(int layer, int64_t cols, LayerWeights& weights) {
    ASSIGN_OR_RETURN(weights.o, LoadMatrix(AttentionTensor(spec_, layer, "o_proj.weight"), spec_.hidden_size, cols));
    if (spec_.attention.o_bias) {
      ASSIGN_OR_RETURN(weights.o_bias, LoadVector(AttentionTensor(spec_, layer, "o_proj.bias"), spec_.hidden_size));
    }
    return absl::OkStatus();
  }

  absl::Status LoadMla(int layer, LayerWeights& weights) {
    const AttentionSpec& attention = spec_.attention;
    const int64_t heads = attention.num_attention_heads;
    const int64_t q_rows = heads * (attention.qk_nope_head_dim + attention.qk_rope_head_dim);
    const auto name = [&](absl::string_view rest) { return AttentionTensor(spec_, layer, rest); };
    if (attention.q_lora_rank > 0) {
      ASSIGN_OR_RETURN(weights.q_a, LoadMatrix(name("q_a_proj.weight"), attention.q_lora_rank, spec_.hidden_size));
      ASSIGN_OR_RETURN(weights.q_a_norm, LoadVector(name("q_a_layernorm.weight"), attention.q_lora_rank));
      ASSIGN_OR_RETURN(weights.q_b, LoadMatrix(name("q_b_proj.weight"), q_rows, attention.q_lora_rank));
    } else {
      ASSIGN_OR_RETURN(weights.q_b, LoadMatrix(name("q_proj.weight"), q_rows, spec_.hidden_size));
    }
    ASSIGN_OR_RETURN(weights.kv_a, LoadMatrix(name("kv_a_proj_with_mqa.weight"), attention.key_dim(), spec_.hidden_size));
    compute::MlaArgs& mla = weights.mla;
    mla.num_heads = attention.num_attention_heads;
    mla.kv_lora_rank = attention.kv_lora_rank;
    mla.qk_nope_head_dim = attention.qk_nope_head_dim;
    mla.qk_rope_head_dim = attention.qk_rope_head_dim;
    mla.norm_eps = 1e-6f;  // the reference builds its latent norms with RMSNorm's default, whatever rms_norm_eps says
    mla.rope = rope_;
    ASSIGN_OR_RETURN(mla.kv_norm, LoadVector(name("kv_a_layernorm.weight"), attention.kv_lora_rank));
    RETURN_IF_ERROR(SplitKvB(name("kv_b_proj.weight"), weights));
    return LoadOutput(layer, heads * attention.v_head_dim, weights);
  }

  // kv_b_proj stacks, for each head, the key up-projection [nope, lora] and the value up-projection [v, lora]. The
  // absorbed form needs the first transposed.
  absl::Status SplitKvB(const std::string& name, LayerWeights& weights) {
    const AttentionSpec& attention = spec_.attention;
    const int64_t heads = attention.num_attention_heads;
    const int64_t nope = attention.qk_nope_head_dim;
    const int64_t v = attention.v_head_dim;
    const int64_t lora = attention.kv_lora_rank;
    ASSIGN_OR_RETURN(const RowReader reader, checkpoint_.MatrixReader(name, heads * (nope + v), lora));
    std::vector<float> kv_b(heads * (nope + v) * lora);
    for (int64_t row = 0; row < heads * (nope + v); ++row) {
      reader(row, absl::MakeSpan(kv_b).subspan(row * lora, lora));
    }
    const auto up_key = [&](int64_t row, absl::Span<float> out) {
      const int64_t head = row / lora;
      const int64_t rank = row % lora;
      for (int64_t i = 0; i < nope; ++i) {
        out[i] = kv_b[(head * (nope + v) + i) * lora + rank];
      }
    };
    const auto up_value = [&](int64_t row, absl::Span<float> out) {
      const float* source = kv_b.data() + ((row / v) * (nope + v) + nope + row % v) * lora;
      std::copy(source, source + lora, out.begin());
    };
    ASSIGN_OR_RETURN(weights.mla.w_uk, backend_.PackMatrix(dtypes_.weights, heads, lora, nope, up_key));
    ASSIGN_OR_RETURN(weights.w_uv, backend_.PackMatrix(dtypes_.weights, heads, v, lora, up_value));
    return absl::OkStatus();
  }

  absl::StatusOr<MlpWeightsPtr> LoadMlp(const MlpTensors& names, int64_t intermediate_size) {
    ASSIGN_OR_RETURN(const RowReader gate, checkpoint_.MatrixReader(names.gate, intermediate_size, spec_.hidden_size));
    ASSIGN_OR_RETURN(const RowReader up, checkpoint_.MatrixReader(names.up, intermediate_size, spec_.hidden_size));
    ASSIGN_OR_RETURN(const RowReader down, checkpoint_.MatrixReader(names.down, spec_.hidden_size, intermediate_size));
    return backend_.PackMlp(dtypes_.weights, spec_.hidden_size, intermediate_size, gate, up, down);
  }

  absl::Status LoadMoe(int layer, LayerWeights& weights) {
    const GateSpec& gate = spec_.gate;
    weights.gate_args = {.scoring = gate.scoring,
                         .num_experts = gate.num_experts,
                         .top_k = gate.num_experts_per_tok,
                         .num_groups = gate.n_group,
                         .topk_groups = gate.topk_group,
                         .group_score = gate.group_score,
                         .normalize = gate.norm_topk_prob,
                         .scale = gate.routed_scaling_factor,
                         .correction_bias = {}};
    if (gate.scoring != compute::GateScoring::kAlways) {
      const std::string name = LayerTensor(spec_, layer, absl::StrCat(spec_.names.gate, ".weight"));
      ASSIGN_OR_RETURN(const RowReader reader, checkpoint_.MatrixReader(name, gate.num_experts, spec_.hidden_size));
      ASSIGN_OR_RETURN(weights.gate, backend_.PackMatrix(DType::kF32, 1, gate.num_experts, spec_.hidden_size, reader));
    }
    if (gate.correction_bias) {
      ASSIGN_OR_RETURN(weights.gate_args.correction_bias,
                       LoadVector(LayerTensor(spec_, layer, spec_.names.correction_bias), gate.num_experts));
    }
    if (spec_.shared_intermediate_size > 0) {
      ASSIGN_OR_RETURN(weights.shared, LoadMlp(SharedExpertTensors(spec_, layer), spec_.shared_intermediate_size));
    }
    if (spec_.shared_expert_gate) {
      const std::string name = LayerTensor(spec_, layer, absl::StrCat(spec_.names.shared_expert_gate, ".weight"));
      ASSIGN_OR_RETURN(weights.shared_gate, LoadMatrix(name, 1, spec_.hidden_size));
    }
    return absl::OkStatus();
  }

  absl::Status LoadDense(int layer, LayerWeights& weights) {
    ASSIGN_OR_RETURN(weights.dense, LoadMlp(DenseMlpTensors(spec_, layer), spec_.intermediate_size));
    return absl::OkStatus();
  }

  const ModelSpec& spec_;
  const Checkpoint& checkpoint_;
  const ModelDTypes& dtypes_;
  Backend& backend_;
  compute::RopeArgs rope_;
};

absl::StatusOr<DType> ChooseKvCacheDType(absl::string_view name, DType weights) {
  if (name == "auto") {
    return weights;
  }
  if (name == "float32") {
    return DType::kF32;
  }
  if (name == "bfloat16") {
    return DType::kBF16;
  }
  if (name == "int8") {
    return DType::kI8;
  }
  if (name == "fp8" || name == "fp8_e4m3") {
    return DType::kF8E4M3;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown KV cache dtype '", name, "': use auto, float32, bfloat16, int8 or fp8"));
}

absl::StatusOr<DType> ChooseWireDType(absl::string_view name, DType weights) {
  if (name == "auto") {
    return weights;
  }
  if (name == "float32") {
    return DType::kF32;
  }
  if (name == "bfloat16") {
    return DType::kBF16;
  }
  if (name == "fp8" || name == "fp8_e4m3") {
    return DType::kF8E4M3;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown wire dtype '", name, "': use auto, float32, bfloat16 or fp8"));
}

}  // namespace

int ModelShare::num_layers() const {
  int layers = 0;
  for (const LayerRange& range : ranges) {
    layers += range.size();
  }
  return layers;
}

int ModelShare::num_kv_layers() const {
  int layers = 0;
  for (const LayerRange& range : ranges) {
    layers = std::max(layers, range.size());
  }
  return layers;
}

ModelShare WholeModel(const ModelSpec& spec) { return {.ranges = {{0, spec.num_layers()}}}; }

absl::StatusOr<ModelDTypes> ChooseDTypes(absl::string_view name, absl::string_view kv_cache, const ModelSpec& spec,
                                         absl::string_view wire) {
  const bool stored_short = spec.checkpoint_dtype == DType::kBF16 || spec.checkpoint_dtype == DType::kF8E4M3;
  DType dtype = DType::kF32;
  if (name == "bfloat16" || (name == "auto" && stored_short)) {
    dtype = DType::kBF16;
  } else if (name != "float32" && name != "auto") {
    return absl::InvalidArgumentError(absl::StrCat("unknown dtype '", name, "': use auto, float32 or bfloat16"));
  }
  ASSIGN_OR_RETURN(const DType kv_dtype, ChooseKvCacheDType(kv_cache, dtype));
  ASSIGN_OR_RETURN(const DType wire_dtype, ChooseWireDType(wire, dtype));
  return ModelDTypes{.weights = dtype, .wire = wire_dtype, .kv_cache = kv_dtype};
}

absl::StatusOr<RouterWeights> LoadRouterWeights(const ModelSpec& spec, const Checkpoint& checkpoint,
                                                const ModelDTypes& dtypes, int64_t max_position, Backend& backend,
                                                const ProgressCallback& progress, const ModelShare& share) {
  return RouterLoader(spec, checkpoint, dtypes, backend).Load(max_position, progress, share);
}

absl::StatusOr<MlpWeightsPtr> LoadExpert(const ModelSpec& spec, const Checkpoint& checkpoint, DType dtype, int layer,
                                         int expert, Backend& backend) {
  if (layer < 0 || layer >= spec.num_layers() || !spec.layers[layer].experts || expert < 0 ||
      expert >= spec.gate.num_experts) {
    return absl::InvalidArgumentError(absl::StrCat("the model has no expert ", expert, " in layer ", layer));
  }
  const MlpTensors names = ExpertTensors(spec, layer, expert);
  const int64_t intermediate = spec.moe_intermediate_size;
  ASSIGN_OR_RETURN(const RowReader gate, checkpoint.MatrixReader(names.gate, intermediate, spec.hidden_size));
  ASSIGN_OR_RETURN(const RowReader up, checkpoint.MatrixReader(names.up, intermediate, spec.hidden_size));
  ASSIGN_OR_RETURN(const RowReader down, checkpoint.MatrixReader(names.down, spec.hidden_size, intermediate));
  return backend.PackMlp(dtype, spec.hidden_size, intermediate, gate, up, down);
}

}  // namespace tandem::model

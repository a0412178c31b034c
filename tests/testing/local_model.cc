#include "tests/testing/local_model.h"

#include <algorithm>
#include <numeric>

#include "base/status.h"
#include "compute/cpu/cpu_backend.h"
#include "compute/wire_rows.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/weights.h"

namespace tandem::testing {
namespace {

constexpr int64_t kMaxTokens = 512;
constexpr int64_t kMaxLength = 2048;

}  // namespace

absl::StatusOr<std::unique_ptr<LocalModel>> LocalModel::Load(const std::string& dir, const std::string& dtype,
                                                             int num_threads, const std::string& kv_cache_dtype,
                                                             const std::string& wire_dtype) {
  ASSIGN_OR_RETURN(model::ModelConfig config, model::ReadModelConfig(dir));
  ASSIGN_OR_RETURN(model::Checkpoint checkpoint, model::Checkpoint::Open(dir));
  checkpoint.set_fp8_block(config.spec.fp8_block_rows, config.spec.fp8_block_cols);
  RETURN_IF_ERROR(model::CheckNoUnknownTensors(config.spec, checkpoint));
  ASSIGN_OR_RETURN(const model::ModelDTypes dtypes, model::ChooseDTypes(dtype, kv_cache_dtype, config.spec, wire_dtype));
  auto local = std::make_unique<LocalModel>();
  local->backend_ = compute::cpu::CreateCpuBackend({.num_threads = num_threads});
  ASSIGN_OR_RETURN(model::RouterWeights weights,
                   model::LoadRouterWeights(config.spec, checkpoint, dtypes, kMaxLength, *local->backend_, nullptr));
  local->experts_.resize(config.spec.num_layers());
  for (const int layer : config.spec.moe_layers()) {
    for (int expert = 0; expert < config.spec.gate.num_experts; ++expert) {
      ASSIGN_OR_RETURN(compute::MlpWeightsPtr mlp, model::LoadExpert(config.spec, checkpoint, dtypes.weights, layer,
                                                                     expert, *local->backend_));
      local->experts_[layer].push_back(std::move(mlp));
    }
  }
  local->decoder_ =
      std::make_unique<model::Decoder>(config.spec, dtypes, std::move(weights), *local->backend_);
  ASSIGN_OR_RETURN(local->activations_, local->decoder_->AllocateActivations(kMaxTokens));
  ASSIGN_OR_RETURN(local->cache_, local->decoder_->AllocateKvCache(kMaxLength / 32, 32));
  return local;
}

absl::Status LocalModel::RunLayer(int layer, const compute::BatchLayout& batch) {
  decoder_->Attend(layer, batch, cache_, activations_);
  if (!spec().layers[layer].experts) {
    decoder_->DenseMlp(layer, activations_);
    return absl::OkStatus();
  }
  decoder_->Route(layer, activations_);
  const int64_t n = activations_.num_tokens;
  const int top_k = spec().gate.num_experts_per_tok;
  std::vector<int32_t> ids(n * top_k);
  backend_->Download(activations_.topk_ids.Rows(0, n), compute::WritableBytesOf(absl::MakeSpan(ids)));
  std::vector<int32_t> slots(ids.size());
  std::iota(slots.begin(), slots.end(), 0);
  std::stable_sort(slots.begin(), slots.end(), [&](int32_t a, int32_t b) { return ids[a] < ids[b]; });
  std::vector<int32_t> rows;
  std::vector<compute::ExpertSegment> segments;
  for (size_t i = 0; i < slots.size(); ++i) {
    const compute::MlpWeights* expert = experts_[layer][ids[slots[i]]].get();
    if (segments.empty() || segments.back().weights != expert) {
      segments.push_back({expert, static_cast<int32_t>(i), static_cast<int32_t>(i)});
    }
    segments.back().end = static_cast<int32_t>(i) + 1;
    rows.push_back(slots[i] / top_k);
  }
  std::vector<int32_t> all_rows(n);
  std::iota(all_rows.begin(), all_rows.end(), 0);
  const compute::Shape pairs_shape = {static_cast<int64_t>(slots.size()), spec().hidden_size};
  const compute::DType wire = decoder_->dtypes().wire;
  const int64_t row_elements = compute::DispatchRowElements(wire, spec().hidden_size);
  ASSIGN_OR_RETURN(const compute::Tensor x, backend_->Allocate(wire, {n, row_elements}));
  ASSIGN_OR_RETURN(const compute::Tensor out, backend_->Allocate(compute::CombineDType(wire), pairs_shape));
  backend_->GatherRows(activations_.x.Rows(0, n), all_rows, x);
  backend_->GroupedMlp(x, rows, segments, out);
  backend_->ScatterRows(out, slots, activations_.expert_out);
  decoder_->SharedExpert(layer, activations_);
  decoder_->Combine(layer, activations_);
  return absl::OkStatus();
}

absl::Status LocalModel::Forward(absl::Span<const int32_t> ids, int64_t position, const std::vector<int32_t>& blocks) {
  const compute::SequenceRows rows{.first_row = 0,
                                   .num_rows = static_cast<int32_t>(ids.size()),
                                   .position = static_cast<int32_t>(position),
                                   .block_table = blocks};
  const auto batch = backend_->PrepareBatch({&rows, 1}, cache_.block_size);
  decoder_->Embed(ids, activations_);
  for (int layer = 0; layer < spec().num_layers(); ++layer) {
    RETURN_IF_ERROR(RunLayer(layer, *batch));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> LocalModel::LogitsOf(const std::vector<int32_t>& rows) {
  const int64_t n = static_cast<int64_t>(rows.size());
  ASSIGN_OR_RETURN(const compute::Tensor out, backend_->Allocate(compute::DType::kF32, {n, spec().vocab_size}));
  decoder_->Logits(rows, activations_, out);
  std::vector<float> logits(n * spec().vocab_size);
  backend_->Download(out, compute::WritableBytesOf(absl::MakeSpan(logits)));
  RETURN_IF_ERROR(backend_->Record()->Wait());
  return logits;
}

absl::StatusOr<std::vector<float>> LocalModel::Logits(const std::vector<int32_t>& ids, int64_t chunk) {
  const int64_t length = static_cast<int64_t>(ids.size());
  std::vector<int32_t> blocks(cache_.num_blocks);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::vector<float> logits;
  for (int64_t begin = 0; begin < length; begin += chunk) {
    const int64_t count = std::min(chunk, length - begin);
    RETURN_IF_ERROR(Forward(absl::MakeConstSpan(ids).subspan(begin, count), begin, blocks));
    std::vector<int32_t> rows(count);
    std::iota(rows.begin(), rows.end(), 0);
    ASSIGN_OR_RETURN(const std::vector<float> part, LogitsOf(rows));
    logits.insert(logits.end(), part.begin(), part.end());
  }
  return logits;
}

}  // namespace tandem::testing

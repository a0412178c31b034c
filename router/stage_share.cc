#include "router/stage_share.h"

namespace tandem::router {

model::ModelShare ShareOf(const scheduler::StageLayout& layout, int stage) {
  model::ModelShare share;
  share.ranges = layout.RangesOf(stage);
  share.embedding = false;
  for (int direction = 0; direction < layout.num_directions(); ++direction) {
    share.embedding = share.embedding || layout.FirstStage(direction) == stage;
  }
  share.lm_head = stage == 0;
  return share;
}

std::vector<int> MoeLayersOf(const model::ModelShare& share, const model::ModelSpec& spec) {
  std::vector<int> layers;
  for (const int layer : spec.moe_layers()) {
    for (const LayerRange& range : share.ranges) {
      if (range.Contains(layer)) {
        layers.push_back(layer);
      }
    }
  }
  return layers;
}

transport::StageTerms TermsOf(const scheduler::StageLayout& layout, int stage, const transport::ModelIdentity& identity,
                              const model::ModelDTypes& dtypes, int kv_block_size, int64_t max_batch_tokens,
                              int64_t max_model_len) {
  return {.model = identity,
          .stage = stage,
          .num_stages = layout.num_stages,
          .dualpipe = layout.policy == scheduler::StagePolicy::kDualPipe,
          .layers = layout.RangesOf(stage),
          .kv_cache_dtype = dtypes.kv_cache,
          .kv_block_size = kv_block_size,
          .max_batch_tokens = max_batch_tokens,
          .max_model_len = max_model_len};
}

}  // namespace tandem::router

// What a stage of a layout holds, and what it has to agree on with the stage before.
#pragma once

#include <cstdint>
#include <vector>

#include "model/weights.h"
#include "scheduler/stage_layout.h"
#include "transport/stage_link.h"

namespace tandem::router {

// The head embeds, and so does the last stage where a direction begins there. lm_head is the head's alone.
model::ModelShare ShareOf(const scheduler::StageLayout& layout, int stage);

// The layers of a share that have experts.
std::vector<int> MoeLayersOf(const model::ModelShare& share, const model::ModelSpec& spec);

transport::StageTerms TermsOf(const scheduler::StageLayout& layout, int stage, const transport::ModelIdentity& identity,
                              const model::ModelDTypes& dtypes, int kv_block_size, int64_t max_batch_tokens,
                              int64_t max_model_len);

}  // namespace tandem::router

// A whole model in one process for tests: the decoder of the product, with every expert called directly instead of
// through frames and workers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "compute/backend.h"
#include "model/decoder.h"

namespace tandem::testing {

class LocalModel {
 public:
  // `dtype` as in --dtype, `kv_cache_dtype` as in --kv-cache-dtype, `wire_dtype` as in --wire-dtype.
  // Errors: as of the loaders.
  static absl::StatusOr<std::unique_ptr<LocalModel>> Load(const std::string& dir, const std::string& dtype,
                                                          int num_threads, const std::string& kv_cache_dtype = "auto",
                                                          const std::string& wire_dtype = "auto");

  // Logits [ids.size(), vocab_size] of every position of one sequence, fed in chunks of at most `chunk` tokens.
  absl::StatusOr<std::vector<float>> Logits(const std::vector<int32_t>& ids, int64_t chunk);

  // Runs tokens at `position` and the following ones of the sequence whose KV blocks are `blocks`: what the decoder
  // knows of them is then in activations() and cache().
  absl::Status Forward(absl::Span<const int32_t> ids, int64_t position, const std::vector<int32_t>& blocks);

  // Logits [rows.size(), vocab_size] of the rows of the last Forward.
  absl::StatusOr<std::vector<float>> LogitsOf(const std::vector<int32_t>& rows);

  const model::ModelSpec& spec() const { return decoder_->spec(); }
  const model::Decoder& decoder() const { return *decoder_; }
  const model::KvCache& cache() const { return cache_; }
  model::Activations& activations() { return activations_; }

 private:
  absl::Status RunLayer(int layer, const compute::BatchLayout& batch);

  std::unique_ptr<compute::Backend> backend_;
  std::unique_ptr<model::Decoder> decoder_;
  std::vector<std::vector<compute::MlpWeightsPtr>> experts_;  // [layer][expert]
  model::Activations activations_;
  model::KvCache cache_;
};

}  // namespace tandem::testing

// A Hugging Face model directory's weights: one model.safetensors or shards with an index. Opening maps the files and
// reads the headers only; data is touched by the readers.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compute/backend.h"
#include "model/safetensors.h"

namespace tandem::model {

// Immutable and thread-safe after Open.
class Checkpoint {
 public:
  // Errors: NOT_FOUND (no weights; a shard that the index names is missing), DATA_LOSS (damaged file, index and shards
  // disagree).
  static absl::StatusOr<Checkpoint> Open(const std::string& model_dir);

  bool Has(absl::string_view name) const { return tensors_.contains(name); }
  // Errors: NOT_FOUND naming the tensor.
  absl::StatusOr<const StoredTensor*> Find(absl::string_view name) const;

  // A reader of the matrix `name`, which must have shape [rows, cols]. F32, BF16 and F16 are widened; F8_E4M3 is
  // multiplied with the blocks of `name`_scale_inv, 128 × 128 or as `fp8_block` says (DeepSeek-V3, arXiv:2412.19437, 3.3).
  // The reader borrows the mapped files, which it keeps alive.
  // Errors: NOT_FOUND, INVALID_ARGUMENT (another shape), UNIMPLEMENTED (dtype), DATA_LOSS (scales missing or misshapen).
  absl::StatusOr<compute::RowReader> MatrixReader(const std::string& name, int64_t rows, int64_t cols) const;

  // A whole tensor as f32, with as many elements as `shape` says.
  absl::StatusOr<std::vector<float>> ReadF32(const std::string& name, const std::vector<int64_t>& shape) const;

  const TensorMap& tensors() const { return tensors_; }
  int64_t total_bytes() const;
  void set_fp8_block(int64_t rows, int64_t cols) { fp8_block_rows_ = rows, fp8_block_cols_ = cols; }

  // Hex SHA-256 over `config_json`, every tensor's name, dtype and shape, and a sample of each tensor's bytes: two
  // processes with the same digest serve the same model, short of a deliberate forgery. Touches one page a tensor.
  std::string Digest(absl::string_view config_json) const;

 private:
  TensorMap tensors_;
  int64_t fp8_block_rows_ = 128;
  int64_t fp8_block_cols_ = 128;
};

}  // namespace tandem::model

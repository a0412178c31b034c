// The safetensors container: an 8-byte little-endian header length, a JSON header (name → dtype, shape, data_offsets) and
// raw little-endian data. Files are mapped; a tensor's pages are read when its data is touched.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/file.h"

namespace tandem::model {

struct StoredTensor {
  std::string dtype;           // as spelled in the file: "F32", "BF16", "F16", "F8_E4M3", …
  std::vector<int64_t> shape;  // row-major
  absl::Span<const std::byte> data;
  std::shared_ptr<const MappedFile> file;  // keeps `data` alive
};

using TensorMap = absl::flat_hash_map<std::string, StoredTensor>;

// Parses one file. Checks the header's size and JSON, that every tensor's offsets lie inside the file, that they agree
// with dtype and shape, and that tensors do not overlap.
// Errors: NOT_FOUND; DATA_LOSS naming file and tensor for anything truncated or inconsistent.
absl::StatusOr<TensorMap> ReadSafetensors(const std::string& path);

// Bytes of one element; 0 for a dtype that safetensors does not know.
int64_t StoredElementBytes(absl::string_view dtype);

}  // namespace tandem::model

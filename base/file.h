// Read-only files: small ones whole, large ones mapped.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem {

// Reads a whole file. Errors: NOT_FOUND, PERMISSION_DENIED, FAILED_PRECONDITION when it is larger than max_bytes.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = size_t{1} << 30);

bool FileExists(const std::string& path);

// Joins with exactly one '/'.
std::string JoinPath(absl::string_view directory, absl::string_view name);

// A memory-mapped file; pages are read when touched. Immutable and thread-safe. A file that is truncated while mapped
// ends the process with SIGBUS, as with every mmap; checkpoints must not be changed while they are served.
class MappedFile {
 public:
  // Errors: NOT_FOUND, PERMISSION_DENIED, INTERNAL (mmap).
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::Span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}

  const std::byte* data_;
  size_t size_;
};

}  // namespace tandem

// A directory of this process alone, for the sockets of its children.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace tandem::cli {

// Removed with everything in it at destruction. Thread-safe.
class PrivateDirectory {
 public:
  // Below TMPDIR. Errors: those of mkdtemp.
  static absl::StatusOr<std::unique_ptr<PrivateDirectory>> Create();
  ~PrivateDirectory() { Remove(); }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;

  const std::string& path() const { return path_; }

  // For a process that is about to end without destruction.
  void Remove() const;

 private:
  explicit PrivateDirectory(std::string path) : path_(std::move(path)) {}

  const std::string path_;
};

}  // namespace tandem::cli

// --trace FILE: the timeline of a whole run.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/trace.h"

namespace tandem::cli {

// Records from Start to destruction, which writes the file; at most kMaxTraceSpans spans, the first ones.
class TraceFile {
 public:
  static constexpr int64_t kMaxTraceSpans = int64_t{1} << 20;  // 100 MB of memory, twice that in the file

  // `recorder` must outlive it. Errors: PERMISSION_DENIED and the like for a path that cannot be written.
  static absl::StatusOr<std::unique_ptr<TraceFile>> Start(std::string path, trace::Recorder& recorder);
  ~TraceFile();

 private:
  TraceFile(std::string path, std::FILE* file, trace::Recorder& recorder)
      : path_(std::move(path)), file_(file), recorder_(recorder) {}

  const std::string path_;
  std::FILE* const file_;
  trace::Recorder& recorder_;
};

}  // namespace tandem::cli

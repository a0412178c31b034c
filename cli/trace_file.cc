#include "cli/trace_file.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "base/trace_json.h"

namespace tandem::cli {

absl::StatusOr<std::unique_ptr<TraceFile>> TraceFile::Start(std::string path, trace::Recorder& recorder) {
  std::FILE* const file = std::fopen(path.c_str(), "we");
  if (file == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("--trace ", path));
  }
  auto trace = std::unique_ptr<TraceFile>(new TraceFile(std::move(path), file, recorder));
  RETURN_IF_ERROR(recorder.Start({.spans = kMaxTraceSpans}));
  return trace;
}

TraceFile::~TraceFile() {
  const trace::Recording recording = recorder_.Stop();
  trace::WriteJson(recording, "tandem",
                   [this](absl::string_view piece) { std::fwrite(piece.data(), 1, piece.size(), file_); });
  const bool failed = std::ferror(file_) != 0;
  if (std::fclose(file_) != 0 || failed) {
    spdlog::error("the trace could not be written to {}: is the disk full?", path_);
    return;
  }
  spdlog::info("trace of {} steps in {}", recording.steps, path_);
  if (recording.dropped_spans > 0) {
    spdlog::warn("the trace is full: {} later spans are not in it", recording.dropped_spans);
  }
}

}  // namespace tandem::cli

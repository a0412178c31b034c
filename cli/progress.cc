#include "cli/progress.h"

#include <unistd.h>

#include <cstdio>

#include "absl/time/clock.h"

namespace tandem::cli {
namespace {

constexpr absl::Duration kPlainInterval = absl::Seconds(2);

}  // namespace

Progress::Progress() : terminal_(isatty(STDERR_FILENO) != 0) {}

void Progress::Update(const std::string& line) {
  if (line == last_) {
    return;
  }
  last_ = line;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    open_ = true;
    return;
  }
  const absl::Time now = absl::Now();
  if (now - last_printed_ >= kPlainInterval) {
    std::fprintf(stderr, "%s\n", line.c_str());
    last_printed_ = now;
  }
}

void Progress::Finish() {
  if (open_) {
    std::fprintf(stderr, "\r\033[K");
    open_ = false;
  }
}

}  // namespace tandem::cli

#include "base/process_memory.h"

#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace tandem {

int64_t ResidentMemoryBytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    absl::string_view text = line;
    if (absl::ConsumePrefix(&text, "VmRSS:") && absl::ConsumeSuffix(&text, "kB")) {
      int64_t kib = 0;
      return absl::SimpleAtoi(text, &kib) ? kib * 1024 : 0;
    }
  }
  return 0;
}

}  // namespace tandem

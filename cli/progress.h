// One line of progress on stderr: rewritten in place on a terminal, otherwise a plain line now and then.
#pragma once

#include <functional>
#include <string>

#include "absl/time/time.h"

namespace tandem::cli {

// Not thread-safe.
class Progress {
 public:
  Progress();
  ~Progress() { Finish(); }

  void Update(const std::string& line);
  // Ends the line, so that other output may follow.
  void Finish();

  std::function<void(const std::string&)> AsCallback() {
    return [this](const std::string& line) { Update(line); };
  }

 private:
  const bool terminal_;
  bool open_ = false;
  std::string last_;
  absl::Time last_printed_ = absl::InfinitePast();
};

}  // namespace tandem::cli

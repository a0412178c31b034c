// Pipeline stages of this machine, but the head, as supervised child processes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/supervisor.h"
#include "cli/flags.h"
#include "cli/private_directory.h"
#include "cli/stage_flags.h"

namespace tandem::cli {

struct LocalStagesOptions {
  StagePlan plan;  // of the head
  ModelFlags model;
  EngineFlags engine;
  std::vector<std::string> workers;  // addresses of expert workers; empty: experts inside each stage
  int worker_timeout_seconds = 600;
  LogFlags log;
};

// Each stage listens on a Unix socket in a private directory, so that it keeps its address when it is restarted.
// Thread-safe after Start. Destruction ends the stages.
class LocalStages {
 public:
  // Starts the processes; none for a single stage. They come up in the background; whoever connects waits for them.
  // Errors: INTERNAL when the directory or a process cannot be made.
  static absl::StatusOr<std::unique_ptr<LocalStages>> Start(LocalStagesOptions options);

  // "unix:/…" of stage 1; empty without stages.
  const std::string& first_address() const { return first_address_; }

  // Removes the sockets' directory; for a process that is about to end without destruction.
  void RemoveSockets() const;

 private:
  LocalStages() = default;

  std::unique_ptr<PrivateDirectory> directory_;
  std::string first_address_;
  std::vector<std::unique_ptr<Supervisor>> supervisors_;  // ended before the directory goes
};

}  // namespace tandem::cli

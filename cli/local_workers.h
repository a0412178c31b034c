// Expert workers of this machine as supervised child processes, for everything that runs embedded.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/supervisor.h"
#include "cli/flags.h"
#include "cli/private_directory.h"

namespace tandem::cli {

// Compute threads of each of `workers` processes that share `cores`: the cores divided among them, but two where there
// are two, so that the worker with fewer rows of a layer leaves no core idle.
int LocalWorkerThreads(int cores, int workers);

struct LocalWorkersOptions {
  int count = 0;
  std::string model_dir;
  std::string dtype = "auto";
  std::string wire_dtype = "auto";
  bool expert_metrics = false;  // per-expert series in /metrics
  int threads = 0;              // of each worker; 0: LocalWorkerThreads
  std::string cpus;             // divided among them; empty: as this process
  bool keep_awake = false;      // CPUs of their own; this process does it for those it may use
  bool shared_memory = true;    // offer it beside gRPC
  int metrics_port = 0;         // of the first worker, the others follow; 0: any free ones
  std::string metrics_host = "127.0.0.1";
  LogFlags log;
};

// Each worker listens on a Unix socket in a private directory, so that it keeps its address when it is restarted.
// Thread-safe after Start. Destruction ends the workers and removes the directory.
class LocalWorkers {
 public:
  // Starts `count` processes (none for 0). They come up in the background; whoever connects waits for them.
  // Errors: INTERNAL when the directory or a process cannot be made.
  static absl::StatusOr<std::unique_ptr<LocalWorkers>> Start(LocalWorkersOptions options);

  // Waits until every worker listens. Errors: UNAVAILABLE with the worker's own reason for one that cannot be started,
  // DEADLINE_EXCEEDED. From then on workers that end are started again for ever.
  absl::Status AwaitReady(absl::Time deadline) const;

  // "unix:/…" of each worker.
  const std::vector<std::string>& addresses() const { return addresses_; }

  // Removes the sockets' directory; for a process that is about to end without destruction.
  void RemoveSockets() const;

 private:
  LocalWorkers() = default;

  std::unique_ptr<PrivateDirectory> directory_;
  std::vector<std::string> addresses_;
  std::vector<std::unique_ptr<Supervisor>> supervisors_;  // one each; ended before the directory goes
};

}  // namespace tandem::cli

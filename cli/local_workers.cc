#include "cli/local_workers.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/cpu_affinity.h"
#include "base/http/server.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/cpu_flags.h"

namespace tandem::cli {
namespace {

constexpr int kMaxFailedStarts = 3;
constexpr char kThisProgram[] = "/proc/self/exe";

bool IsPortFree(const std::string& host, int port) {
  http::ServerOptions probe;
  probe.host = host;
  probe.port = static_cast<uint16_t>(port);
  return http::Server::Start(std::move(probe), http::Router()).ok();
}

// The worker's metrics port; 0, any free one, when the usual one is taken, for example by another service on this
// machine.
int ChooseMetricsPort(const LocalWorkersOptions& options, int index) {
  const int port = options.metrics_port == 0 ? 0 : options.metrics_port + index;
  if (port == 0 || IsPortFree(options.metrics_host, port)) {
    return port;
  }
  spdlog::warn("port {} is taken; the metrics of expert worker {} go to a free one, which it logs", port, index);
  return 0;
}

std::vector<std::string> Command(const LocalWorkersOptions& options, int index, const std::string& address,
                                 int metrics_port, int ready_fd) {
  const int cores = static_cast<int>(AvailableCpus().size());
  // With CPUs of its own, a thread for each of them.
  const int threads = options.threads > 0     ? options.threads
                      : !options.cpus.empty() ? 0
                                              : LocalWorkerThreads(cores, options.count);
  std::vector<std::string> command = {std::filesystem::read_symlink(kThisProgram).string(),
                                      "expert-worker",
                                      options.model_dir,
                                      "--dtype",
                                      options.dtype,
                                      "--wire-dtype",
                                      options.wire_dtype,
                                      "--threads",
                                      absl::StrCat(threads),
                                      "--listen",
                                      address,
                                      "--metrics-listen",
                                      absl::StrCat(options.metrics_host, ":", metrics_port),
                                      "--worker-id",
                                      absl::StrCat("worker-", index),
                                      "--ready-fd",
                                      absl::StrCat(ready_fd),
                                      "--log-level",
                                      options.log.level,
                                      "--log-format",
                                      options.log.format,
                                      "--keep-awake",
                                      options.keep_awake && !options.cpus.empty() ? "on" : "off",
                                      options.expert_metrics ? "--expert-metrics" : "--no-expert-metrics",
                                      options.shared_memory ? "--shared-memory" : "--no-shared-memory"};
  if (!options.cpus.empty()) {
    command.insert(command.end(), {"--cpus", CpusOfWorker(options.cpus, index, options.count)});
  }
  return command;
}

}  // namespace

int LocalWorkerThreads(int cores, int workers) { return std::max({1, cores / workers, std::min(cores, 2)}); }

absl::StatusOr<std::unique_ptr<LocalWorkers>> LocalWorkers::Start(LocalWorkersOptions options) {
  std::unique_ptr<LocalWorkers> workers(new LocalWorkers());
  if (options.count == 0) {
    return workers;
  }
  ASSIGN_OR_RETURN(workers->directory_, PrivateDirectory::Create());
  for (int i = 0; i < options.count; ++i) {
    const std::string address = absl::StrCat("unix:", workers->directory_->path(), "/worker-", i, ".sock");
    workers->addresses_.push_back(address);
    SupervisorOptions supervisor;
    supervisor.name = absl::StrCat("worker-", i);
    supervisor.restart.max_failed_starts = kMaxFailedStarts;
    supervisor.restart.permanent_exit_code = kExitUsage;
    const int metrics_port = ChooseMetricsPort(options, i);
    supervisor.command = [options, i, address, metrics_port](int ready_fd) {
      return Command(options, i, address, metrics_port, ready_fd);
    };
    supervisor.on_ready = [i](const std::string& line) { spdlog::info("expert worker {} is up: {}", i, line); };
    supervisor.on_exit = [i](const absl::Status& reason) {
      spdlog::warn("expert worker {} ended: {}", i, std::string(reason.message()));
    };
    workers->supervisors_.push_back(std::make_unique<Supervisor>(std::move(supervisor)));
  }
  return workers;
}

absl::Status LocalWorkers::AwaitReady(absl::Time deadline) const {
  for (const std::unique_ptr<Supervisor>& supervisor : supervisors_) {
    RETURN_IF_ERROR(Annotate(supervisor->AwaitReady(deadline).status(), "expert workers could not be started"));
  }
  return absl::OkStatus();
}

void LocalWorkers::RemoveSockets() const {
  if (directory_ != nullptr) {
    directory_->Remove();
  }
}

}  // namespace tandem::cli

// tandem expert-worker: one worker process. It starts empty; routers tell it which experts to load.
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/child_process.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/cpu_flags.h"
#include "cli/flags.h"
#include "cli/opened_model.h"
#include "cli/router_runtime.h"
#include "cli/stop_request.h"
#include "compute/cpu/cpu_backend.h"
#include "expert_worker/expert_worker_server.h"
#include "expert_worker/worker_metrics.h"

namespace tandem::cli {
namespace {

struct WorkerFlags {
  LogFlags log;
  ModelFlags model;
  std::string listen = "127.0.0.1:7001";
  std::string metrics_listen = "127.0.0.1:9100";
  std::string worker_id;
  int drain_timeout_seconds = 30;
  int ready_fd = -1;
  bool shared_memory = true;
  bool expert_metrics = false;
  std::string keep_awake = "auto";
  std::string cpus;
};

// Serves until a signal comes. `was_ready`: set once the worker listens and has said so.
absl::Status Serve(const WorkerFlags& flags, bool& was_ready) {
  StopRequest stop;
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedModel> opened,
                   OpenModel(flags.model.model_dir, flags.model.dtype, "auto", flags.model.wire_dtype));
  const model::ModelSpec& spec = opened->config.spec;
  const std::unique_ptr<AwakeCpus> awake_cpus = MakeAwakeCpus(flags.keep_awake, flags.model.threads);
  const std::unique_ptr<compute::Backend> backend =
      compute::cpu::CreateCpuBackend({.num_threads = flags.model.threads});
  const std::string worker_id = flags.worker_id.empty() ? flags.listen : flags.worker_id;
  expert_worker::ExpertWorkerOptions options;
  options.identity = {worker_id, opened->identity};
  options.executor.awake_cpus = awake_cpus.get();
  options.server.listen = flags.listen;
  options.server.shared_memory = flags.shared_memory;
  options.num_layers = spec.num_layers();
  options.num_experts = spec.gate.num_experts;
  ASSIGN_OR_RETURN(const auto server, expert_worker::ExpertWorkerServer::Start(
                                          std::move(options), *backend, MakeExpertLoader(opened, backend.get())));
  ASSIGN_OR_RETURN(const auto metrics, expert_worker::WorkerMetricsServer::Start(flags.metrics_listen, worker_id,
                                                                                 *server, flags.expert_metrics));
  if (flags.ready_fd >= 0) {
    RETURN_IF_ERROR(WriteReadyLine(
        flags.ready_fd, absl::StrCat("{\"port\": ", server->port(), ", \"metrics_port\": ", metrics->port(), "}")));
  }
  was_ready = true;
  spdlog::info("expert worker {} for {} listens on {}, metrics on port {}; waiting for a router to name its experts",
               worker_id, opened->name, flags.listen, metrics->port());
  stop.Serving();
  stop.Wait();
  spdlog::info("draining");
  server->Shutdown(absl::Now() + absl::Seconds(flags.drain_timeout_seconds));
  return absl::OkStatus();
}

absl::Status Run(const WorkerFlags& flags) {
  RETURN_IF_ERROR(StartLogging("expert-worker", flags.log));
  RETURN_IF_ERROR(RunOnCpus(flags.cpus));
  bool was_ready = false;
  const absl::Status status = Serve(flags, was_ready);
  if (!status.ok() && !was_ready && flags.ready_fd >= 0) {
    WriteFailedLine(flags.ready_fd, status.message()).IgnoreError();  // the exit status tells, too
  }
  return status;
}

}  // namespace

void AddExpertWorker(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<WorkerFlags>();
  CLI::App* command = app.add_subcommand("expert-worker", "Hold and compute experts for routers");
  AddModelFlags(*command, flags->model);
  command->add_option("--listen", flags->listen, "HOST:PORT (port 0: any free one) or unix:/path")
      ->capture_default_str();
  command->add_option("--metrics-listen", flags->metrics_listen, "HOST:PORT of /metrics; port 0: any free one")
      ->capture_default_str();
  command->add_option("--worker-id", flags->worker_id, "Name in logs and metrics; default: the listen address");
  command->add_option("--drain-timeout", flags->drain_timeout_seconds, "Seconds that waiting frames get after SIGTERM")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  command->add_flag("--shared-memory,!--no-shared-memory", flags->shared_memory,
                    "Offer shared memory to routers on this machine where the address is unix: (the default)");
  command->add_flag("--expert-metrics,!--no-expert-metrics", flags->expert_metrics,
                    "Export tokens per layer and expert (many series)");
  AddCpusFlag(*command, "--cpus", flags->cpus, "CPUs to run on, as in 0-3,8; default: all that the process may use");
  AddKeepAwakeFlag(*command, flags->keep_awake);
  command->add_option("--ready-fd", flags->ready_fd, "File descriptor that gets one JSON line once the worker listens");
  AddLogFlags(*command, flags->log);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli

// tandem serve: everything on one machine. tandem router: a router whose expert workers run elsewhere.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/child_process.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/api_server.h"
#include "cli/command.h"
#include "cli/cpu_flags.h"
#include "cli/flags.h"
#include "cli/local_stages.h"
#include "cli/local_workers.h"
#include "cli/opened_model.h"
#include "cli/progress.h"
#include "cli/router_runtime.h"
#include "cli/stage_flags.h"
#include "cli/stage_runtime.h"
#include "cli/stop_request.h"

namespace tandem::cli {
namespace {

struct ServeFlags {
  LogFlags log;
  ModelFlags model;
  EngineFlags engine;
  ApiFlags api;
  StageFlags stages;
  // serve
  int expert_workers = 2;
  int worker_threads = 0;
  std::string cpus;
  std::string worker_cpus;
  int worker_metrics_port = 9100;
  // router
  std::vector<std::string> workers;
  std::string listen = "127.0.0.1:7101";
  int ready_fd = -1;
  int worker_timeout_seconds = 600;
};

std::string DescribeProcesses(size_t workers, int stages) {
  const std::string experts =
      workers == 0 ? std::string("experts inside the router") : absl::StrCat(workers, " expert workers");
  return stages == 1 ? experts : absl::StrCat(stages, " pipeline stages, ", experts);
}

void PrintWelcome(const ApiServer& server, const ApiFlags& flags, const std::string& processes) {
  const std::string host = flags.host == "0.0.0.0" || flags.host == "::" ? "localhost" : flags.host;
  const std::string url = absl::StrCat("http://", host, ":", server.http_port());
  absl::FPrintF(stderr,
                "\n%s is served at %s with %s\n\n  curl %s/v1/chat/completions -H 'Content-Type: application/json' "
                "\\\n    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is a piano?\"}]}'\n\n",
                server.model_name(), url, processes, url);
}

// Runs a router until SIGTERM or SIGINT.
absl::Status Serve(const ServeFlags& flags, StopRequest& stop, const std::shared_ptr<const OpenedModel>& opened,
                   const std::vector<std::string>& workers, const StagePlan& plan) {
  Progress progress;
  ASSIGN_OR_RETURN(const std::unique_ptr<RouterRuntime> runtime,
                   RouterRuntime::Start(opened, flags.engine, flags.model.threads, workers,
                                        absl::Seconds(flags.worker_timeout_seconds), progress.AsCallback(), plan));
  progress.Finish();
  ASSIGN_OR_RETURN(const std::unique_ptr<ApiServer> server, ApiServer::Start(*runtime, flags.api));
  spdlog::info("serving {} on HTTP port {}, gRPC port {}", server->model_name(), server->http_port(),
               server->grpc_port());
  PrintWelcome(*server, flags.api, DescribeProcesses(workers.size(), plan.layout.num_stages));
  stop.Serving();
  stop.Wait();
  spdlog::info("draining: running requests have {} s", flags.api.drain_timeout_seconds);
  if (!server->Drain(absl::Seconds(flags.api.drain_timeout_seconds))) {
    spdlog::warn("some requests did not finish in time and were cut off");
  }
  return absl::OkStatus();
}

// The stages of one machine share its cores and the memory for KV caches.
void DivideAmongStages(int stages, ServeFlags& flags) {
  if (stages > 1 && flags.model.threads == 0) {
    flags.model.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / stages);
  }
  flags.engine.kv_cache_memory /= static_cast<uint64_t>(stages);
}

absl::Status RunServe(ServeFlags flags) {
  RETURN_IF_ERROR(StartLogging("router", flags.log));
  RETURN_IF_ERROR(RunOnCpus(flags.cpus));
  flags.engine.workers_elsewhere = DisjointCpus(flags.cpus, flags.worker_cpus);
  StopRequest stop;
  RETURN_IF_ERROR(CheckPortsFree(flags.api));
  ASSIGN_OR_RETURN(
      const std::shared_ptr<const OpenedModel> opened,
      OpenModel(flags.model.model_dir, flags.model.dtype, flags.engine.kv_cache_dtype, flags.model.wire_dtype));
  ASSIGN_OR_RETURN(StagePlan plan, PlanOfHead(flags.stages, opened->config.spec.num_layers()));
  flags.engine.keep_awake = KeepsAwake(flags.engine.keep_awake, flags.model.threads) ? "on" : "off";
  DivideAmongStages(plan.layout.num_stages, flags);
  ASSIGN_OR_RETURN(const std::unique_ptr<LocalWorkers> local,
                   LocalWorkers::Start({.count = flags.expert_workers,
                                        .model_dir = flags.model.model_dir,
                                        .dtype = flags.model.dtype,
                                        .wire_dtype = flags.model.wire_dtype,
                                        .expert_metrics = flags.api.expert_metrics,
                                        .threads = flags.worker_threads,
                                        .cpus = flags.worker_cpus,
                                        .keep_awake = flags.engine.keep_awake == "on",
                                        .shared_memory = flags.engine.expert_transport != "grpc",
                                        .metrics_port = flags.worker_metrics_port,
                                        .log = flags.log}));
  ASSIGN_OR_RETURN(const std::unique_ptr<LocalStages> stages,
                   LocalStages::Start({.plan = plan,
                                       .model = flags.model,
                                       .engine = flags.engine,
                                       .workers = local->addresses(),
                                       .worker_timeout_seconds = flags.worker_timeout_seconds,
                                       .log = flags.log}));
  plan.next_stage = stages->first_address();
  stop.SetStartupCleanup([&local, &stages] {
    stages->RemoveSockets();
    local->RemoveSockets();
  });
  absl::Status status = local->AwaitReady(absl::Now() + absl::Seconds(flags.worker_timeout_seconds));
  if (status.ok()) {
    status = Serve(flags, stop, opened, local->addresses(), plan);
  }
  stop.SetStartupCleanup(nullptr);
  return status;
}

// A pipeline stage but the head, until SIGTERM or SIGINT.
absl::Status RunStage(const ServeFlags& flags, StopRequest& stop, const std::shared_ptr<const OpenedModel>& opened,
                      const StagePlan& plan) {
  ASSIGN_OR_RETURN(const std::unique_ptr<StageRuntime> runtime,
                   StageRuntime::Start(opened, flags.engine, flags.model.threads, flags.workers,
                                       absl::Seconds(flags.worker_timeout_seconds), plan, flags.listen,
                                       [](const std::string& line) { spdlog::debug("{}", line); }));
  if (flags.ready_fd >= 0) {
    RETURN_IF_ERROR(WriteReadyLine(flags.ready_fd, absl::StrCat("{\"port\": ", runtime->port(), "}")));
  }
  const LayerRange layers = plan.layout.LayersOf(plan.stage, 0);
  spdlog::info("pipeline stage {} of {} for {}, layers {} to {} one way, listens on {}", plan.stage,
               plan.layout.num_stages, opened->name, layers.begin, layers.end - 1, flags.listen);
  stop.Serving();
  stop.Wait();
  return absl::OkStatus();
}

absl::Status RunRouter(const ServeFlags& flags) {
  RETURN_IF_ERROR(StartLogging("router", flags.log));
  RETURN_IF_ERROR(RunOnCpus(flags.cpus));
  StopRequest stop;
  ASSIGN_OR_RETURN(
      const std::shared_ptr<const OpenedModel> opened,
      OpenModel(flags.model.model_dir, flags.model.dtype, flags.engine.kv_cache_dtype, flags.model.wire_dtype));
  ASSIGN_OR_RETURN(const StagePlan plan, PlanOfRouter(flags.stages, opened->config.spec.num_layers()));
  if (plan.stage > 0) {
    return RunStage(flags, stop, opened, plan);
  }
  RETURN_IF_ERROR(CheckPortsFree(flags.api));
  return Serve(flags, stop, opened, flags.workers, plan);
}

void AddShared(CLI::App& command, ServeFlags& flags) {
  AddModelFlags(command, flags.model);
  AddApiFlags(command, flags.api);
  AddEngineFlags(command, flags.engine);
  AddStagePolicyFlag(command, flags.stages);
  AddStageTimeoutFlag(command, flags.stages);
  AddCpusFlag(command, "--cpus", flags.cpus, "CPUs to run on, as in 0-3,8; default: all that the process may use");
  AddLogFlags(command, flags.log);
  command
      .add_option("--worker-timeout", flags.worker_timeout_seconds, "Seconds to wait at start for the expert workers")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str()
      ->group("Expert workers");
}

void AddStageFlags(CLI::App& command, ServeFlags& flags) {
  command
      .add_option("--stage", flags.stages.stage,
                  "K/S: pipeline stage K of S. 0, the head, serves the API; the others serve the stage before them")
      ->group("Pipeline stages");
  command.add_option("--next-stage", flags.stages.next_stage, "HOST:PORT of stage K + 1; not for the last one")
      ->group("Pipeline stages");
  command
      .add_option("--listen", flags.listen, "HOST:PORT (port 0: any free one) or unix:/path of a stage but the head")
      ->capture_default_str()
      ->group("Pipeline stages");
  command
      .add_option("--ready-fd", flags.ready_fd,
                  "File descriptor that gets one JSON line once a stage but the head listens")
      ->group("Pipeline stages");
}

}  // namespace

void AddServe(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "Serve a model on this machine: router and local expert workers");
  AddShared(*command, *flags);
  command->add_option("--expert-workers", flags->expert_workers, "Local worker processes; 0: experts inside the router")
      ->check(CLI::Range(0, 256))
      ->capture_default_str()
      ->group("Expert workers");
  command
      ->add_option("--worker-threads", flags->worker_threads,
                   "Compute threads of each; 0: the cores divided among them, two at least")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->group("Expert workers");
  AddCpusFlag(
      *command, "--worker-cpus", flags->worker_cpus,
      "CPUs of the local workers, divided evenly among them; default: as --cpus. With CPUs apart from the router's, "
      "steps are cut into micro-batches")
      ->group("Expert workers");
  command
      ->add_option("--worker-metrics-port", flags->worker_metrics_port,
                   "/metrics of the first worker, the others follow; 0: any free ones")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str()
      ->group("Expert workers");
  AddPipelineStagesFlag(*command, flags->stages);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = RunServe(*flags); });
}

void AddRouter(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("router", "A router for expert workers that run elsewhere");
  AddShared(*command, *flags);
  command
      ->add_option("--workers", flags->workers,
                   "HOST:PORT of every expert worker, separated by commas; pipeline stages may do without, with the "
                   "experts of their layers inside")
      ->delimiter(',')
      ->group("Expert workers");
  AddStageFlags(*command, *flags);
  FinishFlags(*command);
  command->callback([flags, &result] {
    if (flags->workers.empty() && flags->stages.stage.empty()) {
      throw CLI::RequiredError("--workers");
    }
    result.status = RunRouter(*flags);
  });
}

}  // namespace tandem::cli

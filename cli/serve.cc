// tandem serve: everything on one machine. tandem router: a router whose expert workers run elsewhere.
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/api_server.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/local_workers.h"
#include "cli/opened_model.h"
#include "cli/progress.h"
#include "cli/router_runtime.h"
#include "cli/stop_request.h"

namespace tandem::cli {
namespace {

struct ServeFlags {
  LogFlags log;
  ModelFlags model;
  EngineFlags engine;
  ApiFlags api;
  // serve
  int expert_workers = 2;
  int worker_threads = 0;
  int worker_metrics_port = 9100;
  // router
  std::vector<std::string> workers;
  int worker_timeout_seconds = 600;
};

void PrintWelcome(const ApiServer& server, const ApiFlags& flags, size_t workers) {
  const std::string host = flags.host == "0.0.0.0" || flags.host == "::" ? "localhost" : flags.host;
  const std::string url = absl::StrCat("http://", host, ":", server.http_port());
  absl::FPrintF(stderr, "\n%s is served at %s with %s\n\n  curl %s/v1/chat/completions -H 'Content-Type: application/json' "
                "\\\n    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is a piano?\"}]}'\n\n",
                server.model_name(), url,
                workers == 0 ? std::string("experts inside the router") : absl::StrCat(workers, " expert workers"), url);
}

// Runs a router until SIGTERM or SIGINT.
absl::Status Serve(const ServeFlags& flags, StopRequest& stop, const std::shared_ptr<const OpenedModel>& opened,
                   const std::vector<std::string>& workers) {
  Progress progress;
  ASSIGN_OR_RETURN(const std::unique_ptr<RouterRuntime> runtime,
                   RouterRuntime::Start(opened, flags.engine, flags.model.threads, workers,
                                        absl::Seconds(flags.worker_timeout_seconds), progress.AsCallback()));
  progress.Finish();
  ASSIGN_OR_RETURN(const std::unique_ptr<ApiServer> server, ApiServer::Start(*runtime, flags.api));
  spdlog::info("serving {} on HTTP port {}, gRPC port {}", server->model_name(), server->http_port(),
               server->grpc_port());
  PrintWelcome(*server, flags.api, workers.size());
  stop.Serving();
  stop.Wait();
  spdlog::info("draining: running requests have {} s", flags.api.drain_timeout_seconds);
  if (!server->Drain(absl::Seconds(flags.api.drain_timeout_seconds))) {
    spdlog::warn("some requests did not finish in time and were cut off");
  }
  return absl::OkStatus();
}

absl::Status RunServe(const ServeFlags& flags) {
  RETURN_IF_ERROR(StartLogging("router", flags.log));
  StopRequest stop;
  RETURN_IF_ERROR(CheckPortsFree(flags.api));
  ASSIGN_OR_RETURN(
      const std::shared_ptr<const OpenedModel> opened,
      OpenModel(flags.model.model_dir, flags.model.dtype, flags.engine.kv_cache_dtype, flags.model.wire_dtype));
  ASSIGN_OR_RETURN(const std::unique_ptr<LocalWorkers> local,
                   LocalWorkers::Start({.count = flags.expert_workers,
                                        .model_dir = flags.model.model_dir,
                                        .dtype = flags.model.dtype,
                                        .wire_dtype = flags.model.wire_dtype,
                                        .expert_metrics = flags.api.expert_metrics,
                                        .threads = flags.worker_threads,
                                        .shared_memory = flags.engine.expert_transport != "grpc",
                                        .metrics_port = flags.worker_metrics_port,
                                        .log = flags.log}));
  stop.SetStartupCleanup([&local] { local->RemoveSockets(); });
  absl::Status status = local->AwaitReady(absl::Now() + absl::Seconds(flags.worker_timeout_seconds));
  if (status.ok()) {
    status = Serve(flags, stop, opened, local->addresses());
  }
  stop.SetStartupCleanup(nullptr);
  return status;
}

absl::Status RunRouter(const ServeFlags& flags) {
  RETURN_IF_ERROR(StartLogging("router", flags.log));
  StopRequest stop;
  RETURN_IF_ERROR(CheckPortsFree(flags.api));
  ASSIGN_OR_RETURN(
      const std::shared_ptr<const OpenedModel> opened,
      OpenModel(flags.model.model_dir, flags.model.dtype, flags.engine.kv_cache_dtype, flags.model.wire_dtype));
  return Serve(flags, stop, opened, flags.workers);
}

void AddShared(CLI::App& command, ServeFlags& flags) {
  AddModelFlags(command, flags.model);
  AddApiFlags(command, flags.api);
  AddEngineFlags(command, flags.engine);
  AddLogFlags(command, flags.log);
  command.add_option("--worker-timeout", flags.worker_timeout_seconds, "Seconds to wait at start for the expert workers")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str()
      ->group("Expert workers");
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
  command->add_option("--worker-threads", flags->worker_threads,
                      "Compute threads of each; 0: the cores divided among them, two at least")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->group("Expert workers");
  command->add_option("--worker-metrics-port", flags->worker_metrics_port,
                      "/metrics of the first worker, the others follow; 0: any free ones")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str()
      ->group("Expert workers");
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = RunServe(*flags); });
}

void AddRouter(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("router", "A router for expert workers that run elsewhere");
  AddShared(*command, *flags);
  command->add_option("--workers", flags->workers, "HOST:PORT of every expert worker, separated by commas")
      ->delimiter(',')
      ->required()
      ->group("Expert workers");
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = RunRouter(*flags); });
}

}  // namespace tandem::cli

#include "cli/bench_serve.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/notification.h"
#include "base/file.h"
#include "base/shutdown_signal.h"
#include "base/status.h"
#include "base/thread_name.h"
#include "cli/flags.h"
#include "cli/load/driver.h"
#include "cli/load/report.h"
#include "cli/load/target.h"
#include "cli/load/workload.h"
#include "cli/progress.h"

namespace tandem::cli {
namespace {

constexpr int64_t kDefaultRequests = 100;
constexpr int kDefaultVocabSize = 1000;

struct ServeFlags {
  std::string url;  // empty: the default port of the protocol
  bool grpc = false;
  TargetOptions target;
  int timeout_seconds = 600;
  double request_rate = 0;
  int concurrency = 0;
  int64_t num_requests = 0;
  double duration_seconds = 0;
  std::string prompts;  // file; empty: synthetic
  std::string endpoint = "chat";
  std::string input_len = "128";
  std::string output_len;  // empty: 64 for synthetic prompts, the server's default for a file
  int shared_prefix = 0;
  int vocab_size = 0;  // 0: what the server says
  bool ignore_eos = false;
  uint64_t seed = 0;
  Slo slo;
  bool json = false;
};

// Ctrl-C ends the run early; what was measured until then is reported.
class StopOnSignal {
 public:
  StopOnSignal() {
    thread_ = std::thread([this] {
      SetThreadName("signals");
      signal_.Wait();
      stop_.Notify();
    });
  }
  ~StopOnSignal() {
    if (!stop_.HasBeenNotified()) {  // a second signal would end the process
      ShutdownSignal::Raise();
    }
    thread_.join();
  }

  const absl::Notification& stop() const { return stop_; }

 private:
  ShutdownSignal signal_;
  absl::Notification stop_;
  std::thread thread_;  // last: uses all of the above
};

// What no single flag can check about itself. CLI11 turns it into a usage error.
void CheckFlags(const ServeFlags& flags) {
  if ((flags.request_rate > 0) == (flags.concurrency > 0)) {
    throw CLI::ValidationError(
        "give either --request-rate (open loop) or --concurrency (closed loop): they measure different things");
  }
  if (std::isinf(flags.request_rate) && flags.num_requests == 0) {
    throw CLI::ValidationError("--request-rate inf needs --num-requests: how many to send at once");
  }
}

LoadPlan MakePlan(const ServeFlags& flags) {
  LoadPlan plan = {.request_rate = flags.request_rate, .concurrency = flags.concurrency, .seed = flags.seed};
  if (flags.duration_seconds > 0) {
    plan.duration = absl::Seconds(flags.duration_seconds);
  }
  plan.num_requests = flags.num_requests > 0 || flags.duration_seconds > 0 ? flags.num_requests : kDefaultRequests;
  return plan;
}

absl::StatusOr<std::unique_ptr<Workload>> MakeWorkload(const ServeFlags& flags, const TargetModel& model) {
  if (flags.prompts.empty()) {
    SyntheticOptions options = {.shared_prefix = flags.shared_prefix, .seed = flags.seed};
    ASSIGN_OR_RETURN(options.input, ParseLengthRange(flags.input_len));
    ASSIGN_OR_RETURN(options.output, ParseLengthRange(flags.output_len.empty() ? "64" : flags.output_len));
    options.vocab_size = flags.vocab_size > 0   ? flags.vocab_size
                         : model.vocab_size > 0 ? model.vocab_size
                                                : kDefaultVocabSize;
    return MakeSyntheticWorkload(options);
  }
  PromptFileOptions options = {.chat = flags.endpoint == "chat", .ignore_eos = flags.ignore_eos};
  if (!flags.output_len.empty()) {
    ASSIGN_OR_RETURN(const LengthRange length, ParseLengthRange(flags.output_len));
    if (length.min != length.max) {
      return absl::InvalidArgumentError("--output-len takes no range together with --prompts");
    }
    options.max_tokens = length.max;
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(flags.prompts));
  return ParsePrompts(text, flags.prompts, options);
}

std::string DescribeLoad(const LoadPlan& plan) {
  if (std::isinf(plan.request_rate)) {
    return absl::StrCat("burst of ", plan.num_requests, " requests");
  }
  return plan.request_rate > 0 ? absl::StrFormat("open loop, Poisson, %g requests/s", plan.request_rate)
                               : absl::StrCat("closed loop, ", plan.concurrency, " at a time");
}

std::string ProgressLine(const LoadState& state) {
  return absl::StrFormat(
      "%5.1f s  %d sent, %d running, %d done, %d failed  %.0f tokens/s", absl::ToDoubleSeconds(state.elapsed),
      state.sent, state.sent - state.done, state.done, state.failed,
      static_cast<double>(state.output_tokens) / std::max(absl::ToDoubleSeconds(state.elapsed), 1e-3));
}

void Report(const ServeFlags& flags, const TargetOptions& target, const TargetModel& model, const LoadPlan& plan,
            const LoadSummary& summary) {
  const std::string doubts = Doubts(summary, plan);
  if (!flags.json) {
    absl::PrintF("%-22s %s, %s\n%-22s %s\n%s", "server", target.url, model.name, "load", DescribeLoad(plan),
                 ToTable(summary));
    std::fputs(doubts.c_str(), stderr);
    return;
  }
  nlohmann::ordered_json json = {{"server", target.url},
                                 {"protocol", flags.grpc ? "grpc" : "http"},
                                 {"model", model.name},
                                 {"load", DescribeLoad(plan)},
                                 {"seed", flags.seed}};
  json.update(ToJson(summary));
  json["doubts"] = doubts;
  std::printf("%s\n", json.dump(2).c_str());
}

absl::Status Run(const ServeFlags& flags) {
  const StopOnSignal signals;
  const LoadPlan plan = MakePlan(flags);
  TargetOptions options = flags.target;
  options.url = !flags.url.empty() ? flags.url : flags.grpc ? "127.0.0.1:8001" : "http://127.0.0.1:8000";
  options.timeout = absl::Seconds(flags.timeout_seconds);
  if (flags.grpc) {
    options.url = std::string(absl::StripPrefix(options.url, "http://"));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Target> target,
                   flags.grpc ? ConnectGrpcTarget(options) : ConnectHttpTarget(options));
  ASSIGN_OR_RETURN(const std::unique_ptr<Workload> workload, MakeWorkload(flags, target->model()));
  Progress progress;
  const LoadResult result = RunLoad(plan, *workload, *target, signals.stop(),
                                    [&](const LoadState& state) { progress.Update(ProgressLine(state)); });
  progress.Finish();
  const LoadSummary summary = Summarize(result, flags.slo);
  Report(flags, options, target->model(), plan, summary);
  if (summary.completed == 0) {
    return absl::UnavailableError("no request was completed");
  }
  return absl::OkStatus();
}

std::string CheckLength(const std::string& text) { return std::string(ParseLengthRange(text).status().message()); }

std::string CheckRate(const std::string& text) {
  double rate = 0;
  return absl::SimpleAtod(text, &rate) && rate > 0 ? "" : absl::StrCat("'", text, "' is no positive number, nor inf");
}

void AddLoadFlags(CLI::App& app, ServeFlags& flags) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->group("Load");
  };
  add("--request-rate", flags.request_rate, "Open loop: requests a second, Poisson, however long answers take; or inf")
      ->check(CheckRate);
  add("--concurrency", flags.concurrency, "Closed loop: so many requests at a time")->check(CLI::Range(1, 65536));
  add("--num-requests", flags.num_requests, "How many; default 100, or as many as --duration allows")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32));
  add("--duration", flags.duration_seconds, "Seconds during which requests start")->check(CLI::PositiveNumber);
  add("--seed", flags.seed, "Of arrivals and synthetic prompts")->capture_default_str();
  app.add_option_function<double>(
         "--slo-ttft-ms", [&](double value) { flags.slo.ttft_ms = value; }, "Goodput: longest time to the first token")
      ->group("Load");
  app.add_option_function<double>(
         "--slo-itl-ms", [&](double value) { flags.slo.itl_ms = value; },
         "Goodput: longest mean time of a token after the first")
      ->group("Load");
}

void AddPromptFlags(CLI::App& app, ServeFlags& flags) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->group("Prompts");
  };
  add("--prompts", flags.prompts, "File of prompts: a text a line, or JSON objects with prompt or messages")
      ->check(CLI::ExistingFile);
  add("--endpoint", flags.endpoint, "For texts of --prompts: ask as user messages, or continue as they are")
      ->check(CLI::IsMember({"chat", "completions"}))
      ->capture_default_str();
  add("--input-len", flags.input_len, "Without --prompts: random token ids, so many; 64:256 for a range")
      ->check(CheckLength)
      ->capture_default_str();
  add("--output-len", flags.output_len, "Tokens to generate, exactly (a range too), or at most with --prompts")
      ->check(CheckLength);
  add("--shared-prefix", flags.shared_prefix, "Tokens that all random prompts begin with, before --input-len more")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  add("--vocab-size", flags.vocab_size, "Random ids are below this; default: what the server says, else 1000")
      ->check(CLI::PositiveNumber);
  app.add_flag("--ignore-eos", flags.ignore_eos, "With --prompts: always generate --output-len tokens")
      ->group("Prompts");
  app.add_option_function<double>(
         "--temperature", [&](double value) { flags.target.temperature = value; }, "Default: the server's")
      ->check(CLI::Range(0.0, 2.0))
      ->group("Prompts");
  app.add_option_function<int64_t>(
         "--sampling-seed", [&](int64_t value) { flags.target.sampling_seed = value; },
         "Seed that is sent with every request")
      ->group("Prompts");
}

}  // namespace

void AddBenchServe(CLI::App& bench, CommandResult& result) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = bench.add_subcommand("serve", "Latencies and throughput of a running server under load");
  command->add_option("--url", flags->url, "Address of the server; default: port 8000, or 8001 with --grpc");
  command->add_flag("--grpc", flags->grpc, "Use the gRPC API");
  command->add_option("--api-key", flags->target.api_key, "Key of the server");
  command->add_option("--model", flags->target.model, "Model name; default: the server's");
  command->add_option("--timeout", flags->timeout_seconds, "Seconds of silence after which a request has failed")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object");
  AddLoadFlags(*command, *flags);
  AddPromptFlags(*command, *flags);
  FinishFlags(*command);
  command->callback([flags, &result] {
    CheckFlags(*flags);
    result.status = Run(*flags);
  });
}

}  // namespace tandem::cli

// tandem generate: one answer in the terminal, without a server.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "cli/api_server.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/local_workers.h"
#include "cli/opened_model.h"
#include "cli/progress.h"
#include "cli/router_runtime.h"

namespace tandem::cli {
namespace {

struct GenerateFlags {
  LogFlags log{.level = "warning"};
  ModelFlags model;
  EngineFlags engine;
  std::string prompt;
  std::string system;
  std::string chat_template;
  bool raw = false;
  bool json = false;
  int expert_workers = 0;
  int max_tokens = 0;
  float temperature = -1;
  float top_p = -1;
  int top_k = -1;
  int64_t seed = -1;
};

// Waits for a completion and prints its text as it comes.
class Printer {
 public:
  explicit Printer(bool print) : print_(print) {}

  void OnDelta(router::CompletionDelta delta) {
    absl::MutexLock lock(&mutex_);
    if (print_) {
      std::fputs(delta.text.c_str(), stdout);
      std::fflush(stdout);
    }
    text_ += delta.text;
    last_ = std::move(delta);
    done_ = last_.finish_reason != router::FinishReason::kNone;
  }

  router::CompletionDelta Wait() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&done_));
    return last_;
  }

  std::string text() {
    absl::MutexLock lock(&mutex_);
    return text_;
  }

 private:
  const bool print_;
  absl::Mutex mutex_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  router::CompletionDelta last_ ABSL_GUARDED_BY(mutex_);
};

router::Prompt MakePrompt(const GenerateFlags& flags, bool has_template) {
  if (flags.raw || !has_template) {
    return router::TextPrompt{flags.prompt};
  }
  router::ChatPrompt chat;
  chat.messages = router::Json::array();
  if (!flags.system.empty()) {
    chat.messages.push_back({{"role", "system"}, {"content", flags.system}});
  }
  chat.messages.push_back({{"role", "user"}, {"content", flags.prompt}});
  return chat;
}

router::SamplingParams MakeSampling(const GenerateFlags& flags, const router::GenerationDefaults& defaults) {
  router::SamplingParams sampling;
  sampling.temperature = flags.temperature >= 0 ? flags.temperature : defaults.temperature;
  sampling.top_p = flags.top_p > 0 ? flags.top_p : defaults.top_p;
  sampling.top_k = flags.top_k >= 0 ? flags.top_k : defaults.top_k;
  sampling.min_p = defaults.min_p;
  sampling.max_tokens = flags.max_tokens > 0 ? flags.max_tokens : defaults.max_tokens;
  if (flags.seed >= 0) {
    sampling.seed = static_cast<uint64_t>(flags.seed);
  }
  return sampling;
}

absl::Status Run(const GenerateFlags& flags) {
  RETURN_IF_ERROR(StartLogging("generate", flags.log));
  ASSIGN_OR_RETURN(
      const std::shared_ptr<const OpenedModel> opened,
      OpenModel(flags.model.model_dir, flags.model.dtype, flags.engine.kv_cache_dtype, flags.model.wire_dtype));
  ASSIGN_OR_RETURN(const std::unique_ptr<LocalWorkers> local, LocalWorkers::Start({.count = flags.expert_workers,
                                                                                   .model_dir = flags.model.model_dir,
                                                                                   .dtype = flags.model.dtype,
                                                                                   .wire_dtype = flags.model.wire_dtype,
                                                                                   .log = flags.log}));
  RETURN_IF_ERROR(local->AwaitReady(absl::Now() + absl::Minutes(10)));
  EngineFlags engine = flags.engine;
  engine.max_sequences = 1;
  Progress progress;
  ASSIGN_OR_RETURN(const std::unique_ptr<RouterRuntime> runtime,
                   RouterRuntime::Start(opened, engine, flags.model.threads, local->addresses(), absl::Minutes(30),
                                        progress.AsCallback()));
  progress.Finish();
  ASSIGN_OR_RETURN(const std::unique_ptr<TextService> text,
                   TextService::Start(*runtime, {.model_name = opened->name, .chat_template = flags.chat_template}));
  router::CompletionRequest request;
  request.prompt = MakePrompt(flags, text->prompt_template().available());
  request.sampling = MakeSampling(flags, text->defaults());
  auto printer = std::make_shared<Printer>(!flags.json);
  ASSIGN_OR_RETURN(const std::shared_ptr<router::Completion> completion,
                   text->completions().Start(std::move(request), [printer](router::CompletionDelta delta) {
                     printer->OnDelta(std::move(delta));
                   }));
  const router::CompletionDelta last = printer->Wait();
  RETURN_IF_ERROR(last.error);
  if (flags.json) {
    const nlohmann::ordered_json json = {
        {"text", printer->text()},
        {"finish_reason", last.finish_reason == router::FinishReason::kLength ? "length" : "stop"},
        {"prompt_tokens", last.usage.prompt_tokens},
        {"completion_tokens", last.usage.completion_tokens}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("\n");
  }
  return absl::OkStatus();
}

}  // namespace

void AddGenerate(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "Answer one prompt and exit");
  AddModelFlags(*command, flags->model);
  command->add_option("-p,--prompt", flags->prompt, "What to answer")->required();
  command->add_option("--system", flags->system, "System message");
  command->add_flag("--raw", flags->raw, "Continue the prompt as plain text, without the chat template");
  command->add_option("--chat-template", flags->chat_template, "Jinja file to use instead of the model's own template")
      ->check(CLI::ExistingFile);
  command->add_option("--max-tokens", flags->max_tokens, "Longest answer; default: the model's");
  command->add_option("--temperature", flags->temperature, "0: greedy; default: the model's")->check(CLI::Range(0.0, 2.0));
  command->add_option("--top-p", flags->top_p, "Default: the model's")->check(CLI::Range(0.0, 1.0));
  command->add_option("--top-k", flags->top_k, "Default: the model's")->check(CLI::Range(0, 1 << 24));
  command->add_option("--seed", flags->seed, "Makes sampling repeatable")->check(CLI::NonNegativeNumber);
  command->add_option("--expert-workers", flags->expert_workers, "Local worker processes; 0: experts inside this process")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object");
  AddEngineFlags(*command, flags->engine);
  AddLogFlags(*command, flags->log);
  FinishFlags(*command);
  command->callback([flags, &result] { result.status = Run(*flags); });
}

}  // namespace tandem::cli

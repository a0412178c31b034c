#include "cli/flags.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/log.h"
#include "cli/cpu_flags.h"
#include "router/output_parser/reasoning_parser.h"
#include "router/output_parser/tool_format.h"

namespace tandem::cli {
namespace {

// "auto", and what there is.
CLI::IsMember AutoOr(std::vector<std::string> names) {
  names.insert(names.begin(), "auto");
  return CLI::IsMember(std::move(names));
}

}  // namespace

void AddLogFlags(CLI::App& app, LogFlags& flags) {
  app.add_option("--log-level", flags.level, "Least severe level to log")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "off"}))
      ->capture_default_str()
      ->group("Logging");
  app.add_option("--log-format", flags.format, "Lines for people or for programs")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str()
      ->group("Logging");
}

void AddModelFlags(CLI::App& app, ModelFlags& flags) {
  app.add_option("model", flags.model_dir, "Directory of a Hugging Face checkpoint")->required();
  app.add_option("--dtype", flags.dtype, "Weights, wire and KV cache; auto follows the checkpoint")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str()
      ->group("Model");
  app.add_option("--wire-dtype", flags.wire_dtype,
                 "Rows to experts and back; auto: as --dtype. fp8 rounds rows to experts, whose outputs are bfloat16. The "
                 "same for router and workers")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16", "fp8", "fp8_e4m3"}))
      ->capture_default_str()
      ->group("Model");
  app.add_option("--threads", flags.threads, "Compute threads of this process; 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str()
      ->group("Model");
}

CLI::Option* AddKvCacheDTypeFlag(CLI::App& app, std::string& dtype) {
  return app
      .add_option("--kv-cache-dtype", dtype, "KV cache; auto: as --dtype. int8 and fp8 hold more tokens and round them")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16", "int8", "fp8", "fp8_e4m3"}))
      ->capture_default_str();
}

void AddEngineFlags(CLI::App& app, EngineFlags& flags) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->capture_default_str()->group("Engine");
  };
  add("--max-model-len", flags.max_model_len, "Tokens of one sequence, prompt and answer; 0: as trained")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 28));
  add("--max-batch-tokens", flags.max_batch_tokens, "Tokens of one step")->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  add("--max-sequences", flags.max_sequences, "Sequences running at the same time")->check(CLI::Range(1, 65536));
  add("--max-queue", flags.max_queue, "Requests waiting; beyond it clients get 429")->check(CLI::Range(0, 1 << 24));
  AddKvCacheDTypeFlag(app, flags.kv_cache_dtype)->group("Engine");
  add("--kv-cache-memory", flags.kv_cache_memory, "Bytes of KV cache, e.g. 4GiB; 0: from free memory")
      ->transform(CLI::AsSizeValue(false));
  add("--micro-batches", flags.micro_batches,
      "Micro-batches of a step, which overlap with the workers; 0: chosen by cost, or 1 where all workers are on unix: "
      "addresses")
      ->check(CLI::Range(0, 8));
  app.add_flag("--prefix-caching,!--no-prefix-caching", flags.prefix_caching,
               "Keep KV blocks of finished requests for prompts that begin alike (the default)")
      ->group("Engine");
  add("--expert-transport", flags.expert_transport,
      "How frames travel to expert workers; auto: shared memory with those on unix: addresses where it can be set up, "
      "gRPC with others")
      ->check(CLI::IsMember({"auto", "shm", "grpc"}));
  AddKeepAwakeFlag(app, flags.keep_awake);
  app.add_option("--trace", flags.trace, "Write a timeline of the run to this file, for https://ui.perfetto.dev")
      ->group("Engine");
  add("--dispatch-timeout", flags.dispatch_timeout_seconds, "Seconds to wait for an expert worker's answer")
      ->check(CLI::Range(1, 3600));
}

void AddApiFlags(CLI::App& app, ApiFlags& flags) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->capture_default_str()->group("API");
  };
  add("--host", flags.host, "Address to listen on");
  add("--port", flags.port, "HTTP port; 0: any free one")->check(CLI::Range(0, 65535));
  add("--grpc-port", flags.grpc_port, "gRPC port; 0: any free one, -1: off")->check(CLI::Range(-1, 65535));
  add("--served-model-name", flags.served_model_name, "Name in the API; default: the directory's name");
  add("--api-key", flags.api_key, "Key that clients must send as a Bearer token");
  add("--chat-template", flags.chat_template, "Jinja file to use instead of the model's own template")
      ->check(CLI::ExistingFile);
  add("--tool-call-parser", flags.tool_call_parser, "Format of the model's tool calls; auto: from its chat template")
      ->check(AutoOr(router::ToolFormatNames()));
  add("--reasoning-parser", flags.reasoning_parser, "Format of the model's reasoning; auto: from its chat template")
      ->check(AutoOr(router::ReasoningFormatNames()));
  add("--reasoning-field", flags.reasoning_field, "Field of a message that has the reasoning")
      ->check(CLI::IsMember({"reasoning_content", "reasoning", "both"}));
  app.add_flag("--expert-metrics", flags.expert_metrics, "Export tokens per layer and expert (many series)")->group("API");
  add("--request-timeout", flags.request_timeout_seconds, "Seconds that a request may take; then 504. 0: as long as it likes")
      ->check(CLI::Range(0, 86400));
  add("--drain-timeout", flags.drain_timeout_seconds, "Seconds that running requests get after SIGTERM")
      ->check(CLI::Range(0, 86400));
}

void FinishFlags(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string name = option->get_single_name();
    if (!option->get_lnames().empty() && name != "help" && option->get_envname().empty()) {
      option->envname(absl::StrCat("TANDEM_", absl::AsciiStrToUpper(absl::StrReplaceAll(name, {{"-", "_"}}))));
    }
  }
  // Read by ApplyConfigFile before the command line is parsed; declared here for --help.
  app.add_option_function<std::string>("--config", [](const std::string&) {},
                                       "YAML or JSON file of flags; the environment and the command line win over it");
}

absl::Status StartLogging(absl::string_view component, const LogFlags& flags) {
  return InitLogging(component, flags.level, flags.format == "json" ? LogFormat::kJson : LogFormat::kText);
}

}  // namespace tandem::cli

#include "cli/api_server.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/version.h"
#include "router/engine_metrics.h"

namespace tandem::cli {
namespace {

constexpr int kTextThreads = 2;

router::GenerationDefaults DefaultsOf(const model::GenerationConfig& config) {
  router::GenerationDefaults defaults;
  defaults.temperature = config.temperature.value_or(defaults.temperature);
  defaults.top_p = config.top_p.value_or(defaults.top_p);
  defaults.top_k = config.top_k.value_or(defaults.top_k);
  defaults.min_p = config.min_p.value_or(defaults.min_p);
  defaults.max_tokens = config.max_new_tokens.value_or(defaults.max_tokens);
  return defaults;
}

router::CompletionOptions CompletionOptionsOf(const ApiFlags& flags) {
  router::CompletionOptions options;
  if (flags.request_timeout_seconds > 0) {
    options.request_timeout = absl::Seconds(flags.request_timeout_seconds);
  }
  return options;
}

// What the flags say, or else the chat template. Where it shows no format of tool calls, answers that are made to be
// calls take the most common one.
router::OutputFormats FormatsOf(const ApiFlags& flags, const router::ModelPromptTemplate& prompt_template) {
  router::OutputFormats formats = prompt_template.formats();
  if (const auto reasoning = router::ReasoningFormatByName(flags.reasoning_parser)) {
    formats.reasoning = *reasoning;
  }
  if (const auto tools = router::ToolFormatByName(flags.tool_call_parser)) {
    formats.tools = *tools;
  } else if (formats.tools == router::ToolFormat::kNone) {
    formats.tools = router::ToolFormat::kHermes;
  }
  spdlog::info("tool calls: {}, reasoning: {}", std::string(router::ToolFormatName(formats.tools)),
               std::string(router::ReasoningFormatName(formats.reasoning)));
  return formats;
}

}  // namespace

absl::Status CheckPortsFree(const ApiFlags& flags) {
  http::ServerOptions options;
  options.host = flags.host;
  for (const int port : {flags.port, flags.grpc_port}) {
    if (port > 0) {
      options.port = static_cast<uint16_t>(port);
      RETURN_IF_ERROR(http::Server::Start(options, http::Router()).status());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TextService>> TextService::Start(RouterRuntime& runtime, const TextOptions& options) {
  const OpenedModel& opened = runtime.opened();
  std::unique_ptr<TextService> text(new TextService());
  text->defaults_ = DefaultsOf(opened.config.generation);
  text->registry_ = std::make_unique<metrics::Registry>(metrics::Labels{{"model", options.model_name}});
  text->completion_metrics_ = std::make_unique<router::CompletionMetrics>(*text->registry_);
  text->engine_metrics_ = router::MakeEngineMetrics(runtime.engine(), runtime.workers(),
                                                    text->registry_->common_labels(), options.expert_metrics);
  text->process_metrics_ = metrics::MakeProcessMetrics();
  text->registry_->AddCollectable(text->engine_metrics_);
  text->registry_->AddCollectable(text->process_metrics_);
  ASSIGN_OR_RETURN(text->codec_, router::ModelTextCodec::Load(opened.dir, opened.config.spec.vocab_size));
  ASSIGN_OR_RETURN(text->template_, router::ModelPromptTemplate::Load(opened.dir, options.chat_template));
  text->structured_output_ = std::make_unique<router::StructuredOutput>(
      text->codec_.get(), runtime.engine().vocab_size(),
      router::StructuredOutputOptions{.end_tokens = opened.config.generation.eos_token_ids});
  text->executor_ = std::make_unique<router::ThreadPool>("text", kTextThreads);
  text->completions_ = std::make_unique<router::CompletionService>(
      &runtime.engine(), text->codec_.get(), text->template_.get(), text->executor_.get(),
      text->completion_metrics_.get(), options.completion);
  return text;
}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(RouterRuntime& runtime, const ApiFlags& flags) {
  const OpenedModel& opened = runtime.opened();
  std::unique_ptr<ApiServer> server(new ApiServer(runtime));
  server->model_name_ = flags.served_model_name.empty() ? opened.name : flags.served_model_name;
  ASSIGN_OR_RETURN(server->text_, TextService::Start(runtime, {.model_name = server->model_name_,
                                                              .chat_template = flags.chat_template,
                                                              .expert_metrics = flags.expert_metrics,
                                                              .completion = CompletionOptionsOf(flags)}));
  router::RequestContext context;
  context.model_names = {server->model_name_};
  context.defaults = server->text_->defaults();
  context.vocab_size = runtime.engine().vocab_size();
  context.max_model_len = runtime.engine().max_model_len();
  context.hidden_size = static_cast<int32_t>(opened.config.spec.hidden_size);
  context.formats = FormatsOf(flags, server->text_->prompt_template());
  context.reasoning_field = flags.reasoning_field == "both"        ? router::ReasoningField::kBoth
                            : flags.reasoning_field == "reasoning" ? router::ReasoningField::kReasoning
                                                                   : router::ReasoningField::kReasoningContent;
  context.structured_output = &server->text_->structured_output();
  std::vector<std::string> api_keys;
  if (!flags.api_key.empty()) {
    api_keys.push_back(flags.api_key);
  }
  server->http_api_ = std::make_unique<router::HttpApi>(
      router::HttpApiOptions{.context = context,
                             .version = Version(),
                             .api_keys = api_keys,
                             .recorder = &runtime.engine().recorder()},
      &server->text_->completions(), &server->text_->registry());
  if (flags.grpc_port >= 0) {
    router::GrpcApiOptions grpc;
    grpc.host = flags.host;
    grpc.port = flags.grpc_port;
    grpc.context = context;
    grpc.api_keys = api_keys;
    ASSIGN_OR_RETURN(server->grpc_, router::GrpcApi::Start(std::move(grpc), &server->text_->completions()));
  }
  http::ServerOptions http;
  http.host = flags.host;
  http.port = static_cast<uint16_t>(flags.port);
  server->http_api_->Configure(http);
  http::Router routes;
  server->http_api_->Register(routes);
  ASSIGN_OR_RETURN(server->http_, http::Server::Start(std::move(http), std::move(routes)));
  return server;
}

bool ApiServer::Drain(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  text_->completions().Drain();
  if (grpc_ != nullptr) {
    grpc_->RefreshHealth();
  }
  const bool finished = runtime_.engine().Drain(deadline);
  http_api_->Drain();
  // The engine is done; what is left is text on its way to clients.
  const absl::Duration left = std::max(absl::Seconds(1), deadline - absl::Now());
  const bool closed = http_->Shutdown(left);
  if (grpc_ != nullptr) {
    grpc_->Shutdown(std::max(absl::ZeroDuration(), deadline - absl::Now()));
  }
  return finished && closed;
}

}  // namespace tandem::cli

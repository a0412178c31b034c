// The API of a router: HTTP on one port, gRPC on another, on top of a RouterRuntime.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/http/server.h"
#include "base/metrics.h"
#include "cli/flags.h"
#include "cli/router_runtime.h"
#include "router/completion.h"
#include "router/grpc_api.h"
#include "router/http_api.h"
#include "router/model_text.h"
#include "router/structured_output.h"

namespace tandem::cli {

// Errors: UNAVAILABLE naming a port that is taken. For failing before a long load; the servers check again.
absl::Status CheckPortsFree(const ApiFlags& flags);

struct TextOptions {
  std::string model_name;
  std::string chat_template;  // file; empty: the model's own
  bool expert_metrics = false;
  router::CompletionOptions completion;
};

// Text in, text out, without a server: what generate and a server share. `runtime` must outlive it.
class TextService {
 public:
  static absl::StatusOr<std::unique_ptr<TextService>> Start(RouterRuntime& runtime, const TextOptions& options);

  router::CompletionService& completions() { return *completions_; }
  metrics::Registry& registry() { return *registry_; }
  const router::ModelPromptTemplate& prompt_template() const { return *template_; }
  router::StructuredOutput& structured_output() { return *structured_output_; }
  router::GenerationDefaults defaults() const { return defaults_; }

 private:
  TextService() = default;

  router::GenerationDefaults defaults_;
  std::unique_ptr<metrics::Registry> registry_;
  std::unique_ptr<router::CompletionMetrics> completion_metrics_;
  std::shared_ptr<prometheus::Collectable> engine_metrics_;
  std::shared_ptr<prometheus::Collectable> process_metrics_;
  std::unique_ptr<router::ModelTextCodec> codec_;
  std::unique_ptr<router::ModelPromptTemplate> template_;
  std::unique_ptr<router::StructuredOutput> structured_output_;
  std::unique_ptr<router::ThreadPool> executor_;
  std::unique_ptr<router::CompletionService> completions_;
};

class ApiServer {
 public:
  // Serves from then on. Errors: those of loading tokenizer and template; UNAVAILABLE when a port is taken.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(RouterRuntime& runtime, const ApiFlags& flags);

  int http_port() const { return http_->port(); }
  int grpc_port() const { return grpc_ == nullptr ? 0 : grpc_->port(); }
  const std::string& model_name() const { return model_name_; }

  // Refuses new requests, lets the running ones finish until the drain timeout, and stops. True if all finished.
  bool Drain(absl::Duration timeout);

 private:
  explicit ApiServer(RouterRuntime& runtime) : runtime_(runtime) {}

  RouterRuntime& runtime_;
  std::string model_name_;
  std::unique_ptr<TextService> text_;
  std::unique_ptr<router::HttpApi> http_api_;
  std::unique_ptr<router::GrpcApi> grpc_;
  std::unique_ptr<http::Server> http_;
};

}  // namespace tandem::cli

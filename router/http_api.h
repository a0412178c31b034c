// The OpenAI-compatible HTTP API: routes, authorisation and answers. Completions themselves are made by
// CompletionService.
//
// GET  / /health /ping /v1/health /health/live /health/ready /version /metrics /openapi.json /v1/models /v1/models/{id}
// POST /v1/chat/completions /v1/completions /v1/responses /v1/embeddings /tokenize /detokenize /debug/trace
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/http/router.h"
#include "base/http/server.h"
#include "base/metrics.h"
#include "router/completion.h"
#include "router/debug_trace.h"
#include "router/request_parser.h"
#include "router/response_json.h"

namespace tandem::router {

struct HttpApiOptions {
  RequestContext context;
  std::string version;                // of this program
  std::vector<std::string> api_keys;  // empty: no authorisation
  absl::Duration ping_interval = absl::Seconds(15);
  trace::Recorder* recorder = nullptr;  // of the engine; null: no traces. Must outlive the API.
};

// Thread-safe. Must outlive the server that it is registered with.
class HttpApi {
 public:
  HttpApi(HttpApiOptions options, CompletionService* service, metrics::Registry* registry);

  // Adds the routes, the filter (keys, CORS preflight) and the error envelope.
  void Register(http::Router& router);

  // Adds the CORS headers, and what is done for every finished request: the access log and the HTTP metrics.
  void Configure(http::ServerOptions& options);

  // Ends what waits for future steps: nothing else is left that would outlast the running requests.
  void Drain() { debug_trace_.Close(); }

 private:
  using Writer = std::shared_ptr<http::ResponseWriter>;
  using Method = void (HttpApi::*)(const http::Request&, const Writer&);

  // Runs a handler on the executor.
  http::Handler OnExecutor(Method method);

  std::optional<http::Response> Filter(const http::Request& request) const;
  void OnFinished(const http::RequestSummary& summary);

  template <class Parsed>
  std::optional<Parsed> Parse(absl::StatusOr<Parsed> (*parse)(const Json&, const RequestContext&),
                              const http::Request& request, const Writer& writer) const;

  void ChatCompletions(const http::Request& request, const Writer& writer);
  void Completions(const http::Request& request, const Writer& writer);
  void RunCompletion(const http::Request& request, const Writer& writer, ResponseKind kind);
  void Responses(const http::Request& request, const Writer& writer);
  void Embeddings(const http::Request& request, const Writer& writer);
  void Tokenize(const http::Request& request, const Writer& writer);
  void Detokenize(const http::Request& request, const Writer& writer);
  http::Response TokenizeResponse(const std::string& body) const;
  http::Response DetokenizeResponse(const std::string& body) const;
  http::Response Models() const;
  http::Response Model(const std::string& id) const;
  http::Response Ready() const;
  Json ModelJson(const std::string& name) const;

  const HttpApiOptions options_;
  CompletionService* const service_;
  metrics::Registry* const registry_;
  const int64_t created_;
  const std::string openapi_;
  DebugTrace debug_trace_;
};

}  // namespace tandem::router

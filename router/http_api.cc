#include "router/http_api.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "router/api_error.h"
#include "router/api_keys.h"
#include "router/completion_session.h"
#include "router/embedding_session.h"
#include "router/field_reader.h"
#include "router/http_response.h"
#include "router/openapi.h"
#include "router/response_json.h"
#include "router/responses_session.h"

namespace tandem::router {
namespace {

using http::Request;
using http::Response;

constexpr char kWelcome[] =
    "Tandem: a distributed inference server for Mixture-of-Experts models, with an OpenAI-compatible API.\n\n"
    "curl http://HOST:PORT/v1/chat/completions -H 'Content-Type: application/json' \\\n"
    "  -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}]}'\n";

Response TextResponse(std::string text, const char* content_type = "text/plain; charset=utf-8") {
  return {.status = 200, .content_type = content_type, .body = std::move(text), .headers = {}};
}

bool IsPublic(absl::string_view path) {
  return absl::StartsWith(path, "/health") || path == "/v1/health" || path == "/ping" || path == "/metrics" ||
         path == "/version" || path == "/openapi.json" || path == "/";
}

bool IsQuiet(absl::string_view path) {
  return absl::StartsWith(path, "/health") || path == "/v1/health" || path == "/ping" || path == "/metrics";
}

// A few names are enough: they come from outside.
void WarnOfIgnored(const std::string& request_id, const std::vector<std::string>& names) {
  constexpr size_t kMaxNames = 8;
  constexpr size_t kMaxLength = 60;
  if (names.empty()) {
    return;
  }
  std::string list;
  for (size_t i = 0; i < std::min(names.size(), kMaxNames); ++i) {
    absl::StrAppend(&list, i == 0 ? "" : ", ", absl::CHexEscape(names[i].substr(0, kMaxLength)));
  }
  spdlog::warn("request {}: {} unknown fields ignored: {}", request_id, names.size(), list);
}

// Label values come from a fixed set, whatever clients send.
const char* MethodLabel(absl::string_view method) {
  for (const char* known : {"GET", "POST", "HEAD", "OPTIONS"}) {
    if (method == known) return known;
  }
  return "other";
}

}  // namespace

HttpApi::HttpApi(HttpApiOptions options, CompletionService* service, metrics::Registry* registry)
    : options_(std::move(options)),
      service_(service),
      registry_(registry),
      created_(absl::ToUnixSeconds(absl::Now())),
      openapi_(Dump(OpenApiDocument(options_.context, options_.version))),
      debug_trace_(options_.recorder) {}

http::Handler HttpApi::OnExecutor(Method method) {
  return [this, method](Request request, Writer writer) {
    service_->executor().Post([this, method, request = std::make_shared<Request>(std::move(request)),
                               writer = std::move(writer)] { (this->*method)(*request, writer); });
  };
}

void HttpApi::Register(http::Router& router) {
  const auto add = [&router](const char* method, const char* pattern, std::function<Response(const Request&)> answer) {
    router.Add(method, pattern,
               [answer = std::move(answer)](Request request, Writer writer) { writer->Send(answer(request)); });
  };
  router.SetErrorRenderer(RenderHttpError);
  router.SetFilter([this](const Request& request) { return Filter(request); });

  router.Add("POST", "/v1/chat/completions", OnExecutor(&HttpApi::ChatCompletions));
  router.Add("POST", "/v1/completions", OnExecutor(&HttpApi::Completions));
  router.Add("POST", "/v1/responses", OnExecutor(&HttpApi::Responses));
  router.Add("POST", "/v1/embeddings", OnExecutor(&HttpApi::Embeddings));
  router.Add("POST", "/tokenize", OnExecutor(&HttpApi::Tokenize));
  router.Add("POST", "/detokenize", OnExecutor(&HttpApi::Detokenize));
  router.Add("POST", "/debug/trace", [this](const Request& request, Writer writer) {
    debug_trace_.Handle(request, std::move(writer));
  });
  add("GET", "/v1/models", [this](const Request&) { return Models(); });
  add("GET", "/v1/models/{id*}", [this](const Request& request) { return Model(request.params.at("id")); });
  for (const char* path : {"/health", "/ping", "/v1/health", "/health/ready"}) {
    add("GET", path, [this](const Request&) { return Ready(); });
  }
  add("GET", "/health/live", [](const Request&) { return JsonResponse({{"status", "ok"}}); });
  add("GET", "/version", [this](const Request&) { return JsonResponse({{"version", options_.version}}); });
  add("GET", "/openapi.json", [this](const Request&) { return TextResponse(openapi_, "application/json"); });
  add("GET", "/metrics", [this](const Request&) {
    return TextResponse(registry_->Serialize(), "text/plain; version=0.0.4; charset=utf-8");
  });
  add("GET", "/", [](const Request&) { return TextResponse(kWelcome); });
}

void HttpApi::Configure(http::ServerOptions& options) {
  options.common_headers.emplace_back("Access-Control-Allow-Origin", "*");
  options.common_headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  options.on_finished = [this](const http::RequestSummary& summary) { OnFinished(summary); };
}

std::optional<Response> HttpApi::Filter(const Request& request) const {
  if (request.method == "OPTIONS") {
    Response response = {.status = 204, .body = "", .headers = {}};
    response.headers = {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                        {"Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id"},
                        {"Access-Control-Max-Age", "86400"}};
    if (const absl::string_view asked = request.Header("Access-Control-Request-Headers"); !asked.empty()) {
      response.headers[1].second = std::string(asked);
    }
    return response;
  }
  if (!IsPublic(request.path) && !IsAuthorised(options_.api_keys, request.Header("Authorization"))) {
    Response response =
        ErrorResponse(absl::UnauthenticatedError("a valid API key is needed: send 'Authorization: Bearer KEY'"));
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
  }
  return std::nullopt;
}

void HttpApi::OnFinished(const http::RequestSummary& summary) {
  const std::string route = summary.route.empty() ? "unmatched" : summary.route;
  registry_
      ->AddCounter("tandem_http_requests_total", "Finished HTTP requests; code 499 when the client left first.",
                   {{"route", route}, {"method", MethodLabel(summary.method)}, {"code", absl::StrCat(summary.status)}})
      .Increment();
  registry_
      ->AddHistogram("tandem_http_request_duration_seconds", "From the first byte in to the last byte out.",
                     metrics::RequestLatencyBuckets(), {{"route", route}})
      .Observe(absl::ToDoubleSeconds(summary.duration));
  spdlog::log(IsQuiet(summary.path) ? spdlog::level::debug : spdlog::level::info, "{} {} {} {:.1f} ms {} bytes id={}",
              summary.method, summary.path, summary.status, absl::ToDoubleMilliseconds(summary.duration),
              summary.bytes_sent, summary.id);
}

void HttpApi::ChatCompletions(const Request& request, const Writer& writer) {
  RunCompletion(request, writer, ResponseKind::kChat);
}

void HttpApi::Completions(const Request& request, const Writer& writer) {
  RunCompletion(request, writer, ResponseKind::kText);
}

// The parsed body, or nothing after an answer that says what is wrong with it.
template <class Parsed>
std::optional<Parsed> HttpApi::Parse(absl::StatusOr<Parsed> (*parse)(const Json&, const RequestContext&),
                                     const Request& request, const Writer& writer) const {
  auto parsed = [&]() -> absl::StatusOr<Parsed> {
    ASSIGN_OR_RETURN(const Json json, ParseJsonObject(request.body));
    return parse(json, options_.context);
  }();
  if (!parsed.ok()) {
    writer->Send(ErrorResponse(parsed.status()));
    return std::nullopt;
  }
  WarnOfIgnored(request.id, parsed->ignored);
  return *std::move(parsed);
}

void HttpApi::RunCompletion(const Request& request, const Writer& writer, ResponseKind kind) {
  auto parsed = Parse(kind == ResponseKind::kChat ? ParseChatRequest : ParseTextRequest, request, writer);
  if (!parsed.has_value()) {
    return;
  }
  for (CompletionRequest& completion : parsed->completions) {
    completion.request_id = request.id;
  }
  ResponseJson response(kind, request.id, parsed->model, parsed->response, &service_->codec());
  std::make_shared<CompletionSession>(std::move(response), parsed->stream, options_.ping_interval, writer)
      ->Start(*service_, std::move(parsed->completions));
}

void HttpApi::Responses(const Request& request, const Writer& writer) {
  if (auto parsed = Parse(ParseResponsesRequest, request, writer)) {
    parsed->completion.request_id = request.id;
    std::make_shared<ResponsesSession>(*std::move(parsed), request.id, options_.ping_interval, writer)
        ->Start(*service_);
  }
}

void HttpApi::Embeddings(const Request& request, const Writer& writer) {
  if (auto parsed = Parse(ParseEmbeddingRequest, request, writer)) {
    parsed->embedding.request_id = request.id;
    RunEmbeddings(*service_, *std::move(parsed), writer);
  }
}

void HttpApi::Tokenize(const Request& request, const Writer& writer) { writer->Send(TokenizeResponse(request.body)); }

Response HttpApi::TokenizeResponse(const std::string& body) const {
  const auto tokens = [&]() -> absl::StatusOr<std::vector<int32_t>> {
    ASSIGN_OR_RETURN(const Json json, ParseJsonObject(body));
    ASSIGN_OR_RETURN(const Prompt prompt, ParseTokenizeRequest(json, options_.context));
    return service_->Tokenize(prompt);
  }();
  if (!tokens.ok()) {
    return ErrorResponse(tokens.status());
  }
  return JsonResponse(
      {{"count", tokens->size()}, {"max_model_len", options_.context.max_model_len}, {"tokens", *tokens}});
}

void HttpApi::Detokenize(const Request& request, const Writer& writer) {
  writer->Send(DetokenizeResponse(request.body));
}

Response HttpApi::DetokenizeResponse(const std::string& body) const {
  std::vector<int32_t> tokens;
  const auto parsed = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Json json, ParseJsonObject(body));
    FieldReader fields(json);
    if (fields.Find("tokens") == nullptr) {
      return fields.Invalid("tokens", "given: an array of token ids");
    }
    return fields.TokenIds("tokens", kUnlimited, options_.context.vocab_size, tokens);
  }();
  if (!parsed.ok()) {
    return ErrorResponse(parsed);
  }
  return JsonResponse({{"prompt", service_->codec().Decode(tokens, /*skip_special_tokens=*/false)}});
}

Json HttpApi::ModelJson(const std::string& name) const {
  const std::string& own_name = options_.context.model_names.front();
  return {{"id", name},
          {"object", "model"},
          {"created", created_},
          {"owned_by", "tandem"},
          {"root", own_name},
          {"parent", nullptr},
          {"max_model_len", options_.context.max_model_len},
          {"meta", {{"n_vocab", options_.context.vocab_size}, {"n_ctx_train", options_.context.max_model_len}}}};
}

Response HttpApi::Models() const {
  Json list = Json::array();
  for (const std::string& name : options_.context.model_names) {
    list.push_back(ModelJson(name));
  }
  return JsonResponse({{"object", "list"}, {"data", std::move(list)}});
}

Response HttpApi::Model(const std::string& id) const {
  const auto name = ResolveModel(id, options_.context);
  return name.ok() ? JsonResponse(ModelJson(*name)) : ErrorResponse(name.status());
}

Response HttpApi::Ready() const {
  const absl::Status health = service_->Health();
  return health.ok() ? JsonResponse({{"status", "ok"}}) : ErrorResponse(health);
}

}  // namespace tandem::router

#include "router/responses_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "router/api_error.h"
#include "router/http_response.h"

namespace tandem::router {
namespace {

// Reasoning is counted, but not shown.
std::string ContentOf(const CompletionDelta& delta) {
  std::string text = delta.text;
  for (const OutputEvent& event : delta.events.list()) {
    if (event.kind == OutputEvent::Kind::kContent) text += event.text;
  }
  return text;
}

Json UsageJson(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

}  // namespace

ResponsesSession::ResponsesSession(ApiResponsesRequest request, const std::string& id, absl::Duration ping_interval,
                                   std::shared_ptr<http::ResponseWriter> writer)
    : id_(absl::StrCat("resp_", id)),
      item_id_(absl::StrCat("msg_", id)),
      created_(absl::ToUnixSeconds(absl::Now())),
      ping_interval_(ping_interval),
      writer_(std::move(writer)),
      stream_(request.stream),
      request_(std::move(request)) {}

void ResponsesSession::Start(CompletionService& service) {
  std::shared_ptr<Completion> completion;
  {
    absl::MutexLock lock(&mu_);
    auto started = service.Start(std::move(request_.completion),
                                 [self = shared_from_this()](CompletionDelta delta) { self->OnDelta(delta); });
    if (!started.ok()) {
      writer_->Send(ErrorResponse(started.status()));
      return;
    }
    completion = *std::move(started);
    completion_ = completion;
    if (stream_) {
      BeginStream();
    }
  }
  writer_->OnClose([completion] { completion->Cancel(); });
}

void ResponsesSession::BeginStream() {
  writer_->StartStream({.status = 200,
                        .content_type = "text/event-stream; charset=utf-8",
                        .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}},
                        .ping_interval = ping_interval_,
                        .ping = ": ping\n\n"});
  WriteEvent("response.created", {{"response", ResponseJson("in_progress")}});
  WriteEvent("response.in_progress", {{"response", ResponseJson("in_progress")}});
  Json item = ItemJson("in_progress");
  item["content"] = Json::array();
  WriteEvent("response.output_item.added", {{"output_index", 0}, {"item", std::move(item)}});
  WriteEvent("response.content_part.added",
             {{"item_id", item_id_}, {"output_index", 0}, {"content_index", 0}, {"part", PartJson()}});
}

void ResponsesSession::OnDelta(const CompletionDelta& delta) {
  absl::MutexLock lock(&mu_);
  if (over_) {
    return;
  }
  usage_ = delta.usage;
  if (const std::string text = ContentOf(delta); !text.empty()) {
    text_ += text;
    WriteEvent("response.output_text.delta", {{"item_id", item_id_},
                                              {"output_index", 0},
                                              {"content_index", 0},
                                              {"delta", text},
                                              {"logprobs", Json::array()}});
  }
  switch (delta.finish_reason) {
    case FinishReason::kNone:
      break;
    case FinishReason::kError:
      Fail(delta.error);
      break;
    case FinishReason::kCancelled:
      Fail(WithApiCode(absl::UnavailableError("the request was cancelled because this server is shutting down"),
                       "draining"));
      break;
    default:
      Complete(delta.finish_reason);
  }
}

void ResponsesSession::Complete(FinishReason reason) {
  over_ = true;
  completion_ = nullptr;
  const char* status = reason == FinishReason::kLength ? "incomplete" : "completed";
  if (!stream_) {
    writer_->Send(JsonResponse(ResponseJson(status)));
    return;
  }
  const Json place = {{"item_id", item_id_}, {"output_index", 0}, {"content_index", 0}};
  Json text = place;
  text.update({{"text", text_}, {"logprobs", Json::array()}});
  WriteEvent("response.output_text.done", std::move(text));
  Json part = place;
  part["part"] = PartJson();
  WriteEvent("response.content_part.done", std::move(part));
  WriteEvent("response.output_item.done", {{"output_index", 0}, {"item", ItemJson(status)}});
  WriteEvent(reason == FinishReason::kLength ? "response.incomplete" : "response.completed",
             {{"response", ResponseJson(status)}});
  writer_->End();
}

void ResponsesSession::Fail(const absl::Status& status) {
  over_ = true;
  completion_ = nullptr;
  if (!stream_) {
    writer_->Send(ErrorResponse(status));
    return;
  }
  const ApiError error = ToApiError(status);
  WriteEvent("error", {{"code", error.code}, {"message", error.message}, {"param", nullptr}});
  Json response = ResponseJson("failed");
  response["error"] = {{"code", "server_error"}, {"message", error.message}};
  WriteEvent("response.failed", {{"response", std::move(response)}});
  writer_->End();
}

void ResponsesSession::WriteEvent(const char* type, Json fields) {
  if (!stream_) {
    return;
  }
  Json event = {{"type", type}, {"sequence_number", sequence_number_++}};
  event.update(fields);
  writer_->Write(absl::StrCat("event: ", type, "\ndata: ", Dump(event), "\n\n"));
}

Json ResponsesSession::PartJson() const {
  return {{"type", "output_text"}, {"text", text_}, {"annotations", Json::array()}, {"logprobs", Json::array()}};
}

Json ResponsesSession::ItemJson(const char* status) const {
  return {{"id", item_id_},
          {"type", "message"},
          {"status", status},
          {"role", "assistant"},
          {"content", Json::array({PartJson()})}};
}

Json ResponsesSession::ResponseJson(const char* status) const {
  const absl::string_view state = status;
  const bool over = state == "completed" || state == "incomplete";
  Json json = {{"id", id_},
               {"object", "response"},
               {"created_at", created_},
               {"status", status},
               {"error", nullptr},
               {"incomplete_details", state == "incomplete" ? Json{{"reason", "max_output_tokens"}} : Json()},
               {"model", request_.model},
               {"output", over ? Json::array({ItemJson(status)}) : Json::array()}};
  json.update(request_.shown);
  json["usage"] = over ? UsageJson(usage_) : Json();
  return json;
}

}  // namespace tandem::router

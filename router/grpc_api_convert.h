// Between the messages of tandem.chat.v1 and the completion layer.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "router/completion.h"
#include "router/request_parser.h"
#include "tandem/chat/v1/chat_service.pb.h"

namespace tandem::router {

// Requests become the JSON of the HTTP API, and go through its parser. Errors: those of ParseChatRequest,
// ParseTextRequest.
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::ChatRequest& request, const RequestContext& context);
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::ChatStreamRequest& request, const RequestContext& context);
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::CompleteRequest& request, const RequestContext& context);
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::CompleteStreamRequest& request, const RequestContext& context);

// The text of a delta.
void AppendAnswer(const CompletionDelta& delta, chat::v1::ChatResponse& out);
void AppendAnswer(const CompletionDelta& delta, chat::v1::ChatStreamResponse& out);
inline void AppendAnswer(const CompletionDelta& delta, chat::v1::CompleteResponse& out) {
  out.mutable_text()->append(delta.text);
}
inline void AppendAnswer(const CompletionDelta& delta, chat::v1::CompleteStreamResponse& out) {
  out.mutable_text()->append(delta.text);
}

chat::v1::FinishReason ToProto(FinishReason reason, bool has_tool_calls);
void FillUsage(const Usage& usage, chat::v1::Usage& out);

// Adds a delta to any of the four responses.
template <class Response>
void AppendDelta(const CompletionDelta& delta, Response& out) {
  AppendAnswer(delta, out);
  out.mutable_token_ids()->Add(delta.token_ids.begin(), delta.token_ids.end());
  out.set_finish_reason(ToProto(delta.finish_reason, delta.has_tool_calls));
  if (const auto* text = std::get_if<std::string>(&delta.stop_reason)) out.mutable_stop_reason()->set_stop(*text);
  if (const auto* token = std::get_if<int32_t>(&delta.stop_reason))
    out.mutable_stop_reason()->set_stop_token_id(*token);
  FillUsage(delta.usage, *out.mutable_usage());
}

}  // namespace tandem::router

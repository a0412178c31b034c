// Between the messages of tandem.chat.v1 and the completion layer.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "router/completion.h"
#include "router/embedding_parser.h"
#include "router/request_parser.h"
#include "tandem/chat/v1/chat_service.pb.h"

namespace tandem::router {

// Requests become the JSON of the HTTP API, and go through its parser. Errors: those of ParseChatRequest,
// ParseTextRequest.
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::ChatRequest& request, const RequestContext& context);
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::ChatStreamRequest& request, const RequestContext& context);
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::CompleteRequest& request, const RequestContext& context);
absl::StatusOr<ApiRequest> ToApiRequest(const chat::v1::CompleteStreamRequest& request, const RequestContext& context);

absl::StatusOr<ApiEmbeddingRequest> ToApiRequest(const chat::v1::EmbedRequest& request, const RequestContext& context);

// What is the same in all messages of one call.
struct CallInfo {
  std::string id;
  std::string model;
  int32_t answers = 1;
  const TextCodec* codec = nullptr;  // names tokens
};

// The text of a delta.
void AppendAnswer(const CompletionDelta& delta, chat::v1::ChatMessage& message);
void AppendAnswer(const CompletionDelta& delta, chat::v1::ChatStreamResponse& out);
inline void AppendAnswer(const CompletionDelta& delta, chat::v1::ChatResponse& out) {
  AppendAnswer(delta, *out.mutable_message());
}
inline void AppendAnswer(const CompletionDelta& delta, chat::v1::ChatChoice& out) {
  out.mutable_message()->set_role("assistant");
  AppendAnswer(delta, *out.mutable_message());
}
template <class Text>
void AppendAnswer(const CompletionDelta& delta, Text& out) {
  out.mutable_text()->append(delta.text);
}

chat::v1::FinishReason ToProto(FinishReason reason, bool has_tool_calls);
void FillUsage(const Usage& usage, chat::v1::Usage& out);
void FillLogprobs(const PositionLogprobs& position, const TextCodec& codec, chat::v1::PositionLogprobs& out);
void FillEmbeddings(const EmbeddingResult& result, chat::v1::EmbedResponse& out);

// Adds a delta, but for its usage, to a response or to one of the choices in it.
template <class Response>
void AppendDelta(const CompletionDelta& delta, const TextCodec& codec, Response& out) {
  AppendAnswer(delta, out);
  out.mutable_token_ids()->Add(delta.token_ids.begin(), delta.token_ids.end());
  for (const auto& position : delta.logprobs) {
    FillLogprobs(*position, codec, *out.add_logprobs());
  }
  out.set_finish_reason(ToProto(delta.finish_reason, delta.has_tool_calls));
  if (const auto* text = std::get_if<std::string>(&delta.stop_reason)) out.mutable_stop_reason()->set_stop(*text);
  if (const auto* token = std::get_if<int32_t>(&delta.stop_reason))
    out.mutable_stop_reason()->set_stop_token_id(*token);
}

// The same for a whole response: the first answer stands in its own fields, and all of them in `choices` when there are
// several.
template <class Response>
void AppendToWhole(const CompletionDelta& delta, const CallInfo& info, Response& out) {
  if (delta.choice == 0) {
    AppendDelta(delta, *info.codec, out);
    for (size_t i = 0; delta.first != nullptr && i < delta.first->prompt_logprobs.size(); ++i) {
      FillLogprobs(delta.first->prompt_logprobs[i], *info.codec, *out.add_prompt_logprobs());
    }
  }
  if (info.answers > 1) {
    while (out.choices_size() < info.answers) {
      out.add_choices();
    }
    AppendDelta(delta, *info.codec, *out.mutable_choices(delta.choice));
  }
}

}  // namespace tandem::router

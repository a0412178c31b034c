#include "router/response_json.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem::router {
namespace {

constexpr char kFingerprint[] = "tandem";

Json StopReasonJson(const StopReason& reason) {
  if (const auto* text = std::get_if<std::string>(&reason)) return *text;
  if (const auto* token = std::get_if<int32_t>(&reason)) return *token;
  return nullptr;
}

}  // namespace

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"prompt_cache_hit_tokens", usage.cached_tokens},
          {"prompt_cache_miss_tokens", usage.prompt_tokens - usage.cached_tokens}};
}

Json FinishReasonJson(FinishReason reason, bool has_tool_calls) {
  switch (reason) {
    case FinishReason::kStop:
      return has_tool_calls ? "tool_calls" : "stop";
    case FinishReason::kLength:
      return "length";
    default:
      return nullptr;
  }
}

ResponseJson::ResponseJson(ResponseKind kind, absl::string_view id, std::string model, ResponseOptions options,
                           const TextCodec* codec)
    : kind_(kind),
      id_(absl::StrCat(kind == ResponseKind::kChat ? "chatcmpl-" : "cmpl-", id)),
      model_(std::move(model)),
      created_(absl::ToUnixSeconds(absl::Now())),
      options_(options),
      logprobs_(codec, options.tokens_as_ids) {}

Json ResponseJson::Envelope(bool chunk) const {
  const char* object = kind_ == ResponseKind::kText ? "text_completion"
                       : chunk                      ? "chat.completion.chunk"
                                                    : "chat.completion";
  return {
      {"id", id_}, {"object", object}, {"created", created_}, {"model", model_}, {"system_fingerprint", kFingerprint}};
}

Json ResponseJson::ChatChoice(const Choice& choice) const {
  return {{"message", MessageJson(choice.message, options_.reasoning_field)},
          {"logprobs", options_.logprobs ? logprobs_.Chat(choice.logprobs, *options_.logprobs) : Json()}};
}

Json ResponseJson::TextChoice(const Choice& choice, const PromptInfo& prompt) const {
  Json json = {{"text", options_.echo ? prompt.text + choice.text : choice.text},
               {"logprobs", TextLogprobs(choice, prompt)}};
  if (options_.prompt_logprobs) json["prompt_logprobs"] = PromptLogprobs(prompt);
  if (options_.token_ids) json["prompt_token_ids"] = prompt.token_ids;
  return json;
}

Json ResponseJson::TextLogprobs(const Choice& choice, const PromptInfo& prompt) const {
  if (!options_.logprobs) {
    return nullptr;
  }
  LogprobList positions;
  if (options_.echo) {
    positions.push_back(nullptr);
    for (const PositionLogprobs& position : prompt.first->prompt_logprobs) {
      positions.emplace_back(prompt.first, &position);
    }
  }
  positions.insert(positions.end(), choice.logprobs.begin(), choice.logprobs.end());
  int64_t offset = 0;
  return logprobs_.Text(positions, *options_.logprobs, prompt.token_ids.front(), offset);
}

Json ResponseJson::PromptLogprobs(const PromptInfo& prompt) const {
  return logprobs_.Prompt(prompt.first->prompt_logprobs, *options_.prompt_logprobs);
}

Json ResponseJson::Whole(const std::vector<Choice>& choices, const std::vector<PromptInfo>& prompts,
                         const Usage& usage) const {
  const size_t answers = choices.size() / prompts.size();
  Json list = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    const Choice& choice = choices[i];
    Json json = {{"index", i}};
    json.update(kind_ == ResponseKind::kChat ? ChatChoice(choice) : TextChoice(choice, prompts[i / answers]));
    json["finish_reason"] = FinishReasonJson(choice.finish_reason, choice.has_tool_calls);
    json["stop_reason"] = StopReasonJson(choice.stop_reason);
    if (options_.token_ids) json["token_ids"] = choice.token_ids;
    list.push_back(std::move(json));
  }
  Json json = Envelope(/*chunk=*/false);
  json["choices"] = std::move(list);
  json["usage"] = UsageJson(usage);
  if (kind_ == ResponseKind::kChat) {
    if (options_.prompt_logprobs) json["prompt_logprobs"] = PromptLogprobs(prompts.front());
    if (options_.token_ids) json["prompt_token_ids"] = prompts.front().token_ids;
  }
  return json;
}

Json ResponseJson::Chunk(Json choice) const {
  Json json = Envelope(/*chunk=*/true);
  json["choices"] = Json::array({std::move(choice)});
  return json;
}

Json ResponseJson::FirstChunk(int index, const PromptInfo& prompt) const {
  Json choice = {{"index", index}};
  if (kind_ == ResponseKind::kChat) {
    choice["delta"] = {{"role", "assistant"}, {"content", ""}};
  } else if (options_.token_ids) {
    choice["text"] = "";
    choice["prompt_token_ids"] = prompt.token_ids;
  } else {
    return nullptr;
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = nullptr;
  Json json = Chunk(std::move(choice));
  if (kind_ == ResponseKind::kChat && options_.token_ids) json["prompt_token_ids"] = prompt.token_ids;
  return json;
}

std::vector<Json> ResponseJson::DeltaChunks(const CompletionDelta& delta, int index, Choice& choice) const {
  const bool token_ids = options_.token_ids && !delta.token_ids.empty();
  std::vector<Json> news;
  if (kind_ == ResponseKind::kChat) {
    news = ChatDeltas(delta);
  } else if (!delta.text.empty()) {
    news.push_back({{"text", delta.text}});
  }
  if (news.empty() && (token_ids || !delta.logprobs.empty())) {
    news.push_back(kind_ == ResponseKind::kChat ? Json({{"delta", {{"content", ""}}}}) : Json({{"text", ""}}));
  }
  // Tokens are not cut where their text is: those of a delta go with its first chunk.
  std::vector<Json> chunks;
  for (Json& part : news) {
    const bool is_first = chunks.empty();
    Json json = {{"index", index}};
    json.update(part);
    json["logprobs"] = is_first ? DeltaLogprobs(delta, choice) : Json();
    json["finish_reason"] = nullptr;
    if (is_first && token_ids) json["token_ids"] = delta.token_ids;
    chunks.push_back(Chunk(std::move(json)));
  }
  return chunks;
}

std::vector<Json> ResponseJson::ChatDeltas(const CompletionDelta& delta) const {
  std::vector<Json> deltas;
  for (const OutputEvent& event : delta.events.list()) {
    deltas.push_back({{"delta", DeltaJson(event, options_.reasoning_field)}});
  }
  return deltas;
}

Json ResponseJson::DeltaLogprobs(const CompletionDelta& delta, Choice& choice) const {
  if (delta.logprobs.empty()) {
    return nullptr;
  }
  return kind_ == ResponseKind::kChat
             ? logprobs_.Chat(delta.logprobs, *options_.logprobs)
             : logprobs_.Text(delta.logprobs, *options_.logprobs, /*first_token=*/0, choice.text_offset);
}

Json ResponseJson::FinishChunk(int index, const Choice& choice) const {
  Json json = {{"index", index}};
  if (kind_ == ResponseKind::kChat) {
    json["delta"] = Json::object();
  } else {
    json["text"] = "";
  }
  json["logprobs"] = nullptr;
  json["finish_reason"] = FinishReasonJson(choice.finish_reason, choice.has_tool_calls);
  json["stop_reason"] = StopReasonJson(choice.stop_reason);
  return Chunk(std::move(json));
}

Json ResponseJson::UsageChunk(const Usage& usage) const {
  Json json = Envelope(/*chunk=*/true);
  json["choices"] = Json::array();
  json["usage"] = UsageJson(usage);
  return json;
}

}  // namespace tandem::router

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

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", 0}}},
          {"prompt_cache_hit_tokens", usage.cached_tokens},
          {"prompt_cache_miss_tokens", usage.prompt_tokens - usage.cached_tokens}};
}

Json FinishReasonJson(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    default:
      return nullptr;
  }
}

ResponseJson::ResponseJson(ResponseKind kind, absl::string_view id, std::string model, int64_t created)
    : kind_(kind),
      id_(absl::StrCat(kind == ResponseKind::kChat ? "chatcmpl-" : "cmpl-", id)),
      model_(std::move(model)),
      created_(created) {}

Json ResponseJson::Envelope(bool chunk) const {
  const char* object = kind_ == ResponseKind::kText ? "text_completion"
                       : chunk                      ? "chat.completion.chunk"
                                                    : "chat.completion";
  return {
      {"id", id_}, {"object", object}, {"created", created_}, {"model", model_}, {"system_fingerprint", kFingerprint}};
}

Json ResponseJson::Whole(const std::vector<Choice>& choices, const Usage& usage) const {
  Json list = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    Json choice = {{"index", i}};
    if (kind_ == ResponseKind::kChat) {
      choice["message"] = {{"role", "assistant"}, {"content", choices[i].text}, {"refusal", nullptr}};
    } else {
      choice["text"] = choices[i].text;
    }
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = FinishReasonJson(choices[i].finish_reason);
    choice["stop_reason"] = StopReasonJson(choices[i].stop_reason);
    list.push_back(std::move(choice));
  }
  Json json = Envelope(/*chunk=*/false);
  json["choices"] = std::move(list);
  json["usage"] = UsageJson(usage);
  return json;
}

Json ResponseJson::Chunk(Json choice) const {
  Json json = Envelope(/*chunk=*/true);
  json["choices"] = Json::array({std::move(choice)});
  return json;
}

Json ResponseJson::FirstChunk(int index) const {
  if (kind_ == ResponseKind::kText) {
    return nullptr;
  }
  return Chunk({{"index", index},
                {"delta", {{"role", "assistant"}, {"content", ""}}},
                {"logprobs", nullptr},
                {"finish_reason", nullptr}});
}

Json ResponseJson::TextChunk(int index, const std::string& text) const {
  Json choice = {{"index", index}};
  if (kind_ == ResponseKind::kChat) {
    choice["delta"] = {{"content", text}};
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = nullptr;
  return Chunk(std::move(choice));
}

Json ResponseJson::FinishChunk(int index, const Choice& choice) const {
  Json json = {{"index", index}};
  if (kind_ == ResponseKind::kChat) {
    json["delta"] = Json::object();
  } else {
    json["text"] = "";
  }
  json["logprobs"] = nullptr;
  json["finish_reason"] = FinishReasonJson(choice.finish_reason);
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

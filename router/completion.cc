#include "router/completion.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"
#include "router/running_completion.h"

namespace tandem::router {
namespace {

// Gives a status a short code unless whoever made it knew better.
absl::Status DefaultCode(const absl::Status& status, absl::string_view code, absl::string_view param = "") {
  return ApiCode(status).empty() ? WithApiCode(status, code, param) : status;
}

absl::Status CheckTokens(const std::vector<int32_t>& tokens, int32_t vocab_size) {
  for (int32_t token : tokens) {
    if (token < 0 || token >= vocab_size) {
      return InvalidField("prompt", absl::StrCat("prompt: token id ", token, " is not in 0..", vocab_size - 1));
    }
  }
  return absl::OkStatus();
}

}  // namespace

CompletionService::CompletionService(TokenEngine* engine, const TextCodec* codec, const PromptTemplate* prompt_template,
                                     Executor* executor, CompletionMetrics* metrics)
    : engine_(engine), codec_(codec), template_(prompt_template), executor_(executor), metrics_(metrics) {}

absl::StatusOr<std::vector<int32_t>> CompletionService::Tokenize(const Prompt& prompt) const {
  if (const auto* tokens = std::get_if<TokenPrompt>(&prompt)) {
    RETURN_IF_ERROR(CheckTokens(*tokens, engine_->vocab_size()));
    return *tokens;
  }
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) {
    const PromptSpan span = {text->text, /*parse_special=*/true};
    return codec_->Encode({&span, 1}, text->add_special_tokens);
  }
  const ChatPrompt& chat = std::get<ChatPrompt>(prompt);
  auto spans = template_->Render(chat.messages, chat.tools, chat.options);
  if (!spans.ok()) {
    const bool has_template = spans.status().code() != absl::StatusCode::kFailedPrecondition;
    return DefaultCode(
        has_template ? Annotate(spans.status(), "the chat template refused the messages") : spans.status(),
        "template_error", "messages");
  }
  return codec_->Encode(*spans, chat.add_special_tokens);
}

absl::StatusOr<std::shared_ptr<Completion>> CompletionService::Start(CompletionRequest request, CompletionSink sink) {
  auto completion = Submit(std::move(request), std::move(sink));
  if (!completion.ok()) {
    metrics_->Rejected(completion.status());
  }
  return completion;
}

absl::StatusOr<std::shared_ptr<Completion>> CompletionService::Submit(CompletionRequest request, CompletionSink sink) {
  if (draining_) {
    return Health();
  }
  ASSIGN_OR_RETURN(std::vector<int32_t> tokens, Tokenize(request.prompt));
  if (tokens.empty()) {
    return InvalidField("prompt", "the prompt is empty: it needs at least one token");
  }
  const int64_t context = engine_->max_model_len();
  const int64_t prompt_tokens = static_cast<int64_t>(tokens.size());
  if (prompt_tokens >= context) {
    return WithApiCode(absl::InvalidArgumentError(absl::StrCat(
                           "the prompt has ", prompt_tokens, " tokens, but the context of this model holds ", context,
                           ", of which at least one is for the answer; shorten the prompt")),
                       "context_length_exceeded",
                       std::holds_alternative<ChatPrompt>(request.prompt) ? "messages" : "prompt");
  }
  SamplingParams& sampling = request.sampling;
  const int64_t room = context - prompt_tokens;
  sampling.max_tokens =
      static_cast<int32_t>(sampling.max_tokens > 0 ? std::min<int64_t>(sampling.max_tokens, room) : room);
  sampling.min_tokens = std::min(sampling.min_tokens, sampling.max_tokens);

  auto completion = std::make_shared<RunningCompletion>(request, static_cast<int32_t>(prompt_tokens),
                                                        codec_->NewDecoder(request.skip_special_tokens, {}),
                                                        std::move(sink), engine_, executor_, metrics_);
  metrics_->Queued();
  auto id = engine_->Submit({.request_id = request.request_id, .prompt = std::move(tokens), .sampling = sampling},
                            [completion](const TokenEvent& event) { completion->OnEvent(event); });
  if (!id.ok()) {
    metrics_->Unqueued();
    return id.status();
  }
  completion->SetEngineId(*id);
  return completion;
}

absl::Status CompletionService::Health() const {
  if (draining_) {
    return WithApiCode(absl::UnavailableError("this server is shutting down; try another"), "draining");
  }
  return engine_->Health();
}

}  // namespace tandem::router

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

// Keeps the end of a prompt, where the question usually is.
void Truncate(const CompletionRequest& request, int64_t context, std::vector<int32_t>& tokens) {
  if (!request.truncate_prompt_tokens.has_value()) {
    return;
  }
  const int64_t keep = *request.truncate_prompt_tokens >= 0
                           ? *request.truncate_prompt_tokens
                           : std::max<int64_t>(1, context - std::max(1, request.sampling.max_tokens));
  if (static_cast<int64_t>(tokens.size()) > keep) {
    tokens.erase(tokens.begin(), tokens.end() - keep);
  }
}

absl::Status CheckLength(const Prompt& prompt, size_t tokens, int64_t context) {
  const char* field = std::holds_alternative<ChatPrompt>(prompt) ? "messages" : "prompt";
  if (tokens == 0) {
    return InvalidField(field, "the prompt is empty: it needs at least one token");
  }
  if (static_cast<int64_t>(tokens) < context) {
    return absl::OkStatus();
  }
  return WithApiCode(absl::InvalidArgumentError(
                         absl::StrCat("the prompt has ", tokens, " tokens, but the context of this model holds ",
                                      context, ", of which at least one is for the answer; shorten the prompt")),
                     "context_length_exceeded", field);
}

GenerationRequest ToGeneration(CompletionRequest request, std::vector<int32_t> tokens, absl::Time deadline) {
  GenerationRequest generation;
  generation.request_id = std::move(request.request_id);
  generation.prompt = std::move(tokens);
  generation.sampling = std::move(request.sampling);
  generation.priority = request.priority;
  generation.user = std::move(request.user);
  generation.cache_salt = std::move(request.cache_salt);
  generation.deadline = deadline;
  generation.constraint = std::move(request.constraint);
  return generation;
}

}  // namespace

Usage SumUsage(absl::Span<const Usage> answers) {
  Usage total = answers.front();
  for (const Usage& usage : answers.subspan(1)) {
    total.completion_tokens += usage.completion_tokens;
    total.reasoning_tokens += usage.reasoning_tokens;
  }
  return total;
}

CompletionService::CompletionService(TokenEngine* engine, const TextCodec* codec, const PromptTemplate* prompt_template,
                                     Executor* executor, CompletionMetrics* metrics, CompletionOptions options)
    : engine_(engine),
      codec_(codec),
      template_(prompt_template),
      executor_(executor),
      metrics_(metrics),
      options_(options) {}

absl::StatusOr<std::vector<int32_t>> CompletionService::Tokenize(const Prompt& prompt) const {
  ASSIGN_OR_RETURN(EncodedPrompt encoded, Encode(prompt, ReasoningFormat::kNone));
  return std::move(encoded.tokens);
}

absl::StatusOr<CompletionService::EncodedPrompt> CompletionService::Encode(const Prompt& prompt,
                                                                           ReasoningFormat reasoning) const {
  EncodedPrompt encoded;
  if (const auto* tokens = std::get_if<TokenPrompt>(&prompt)) {
    RETURN_IF_ERROR(CheckTokens(*tokens, engine_->vocab_size()));
    encoded.tokens = *tokens;
    return encoded;
  }
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) {
    const PromptSpan span = {text->text, /*parse_special=*/true};
    ASSIGN_OR_RETURN(encoded.tokens, codec_->Encode({&span, 1}, text->add_special_tokens));
    return encoded;
  }
  const ChatPrompt& chat = std::get<ChatPrompt>(prompt);
  auto spans = template_->Render(chat.messages, chat.tools, chat.options);
  if (!spans.ok()) {
    const bool has_template = spans.status().code() != absl::StatusCode::kFailedPrecondition;
    return DefaultCode(
        has_template ? Annotate(spans.status(), "the chat template refused the messages") : spans.status(),
        "template_error", "messages");
  }
  ASSIGN_OR_RETURN(encoded.tokens, codec_->Encode(*spans, chat.add_special_tokens));
  encoded.opens_reasoning = !spans->empty() && OpensReasoning(reasoning, spans->back().text);
  return encoded;
}

absl::StatusOr<std::shared_ptr<Completion>> CompletionService::Start(CompletionRequest request, CompletionSink sink) {
  auto completion = Submit(std::move(request), std::move(sink));
  if (!completion.ok()) {
    metrics_->Rejected(completion.status());
  }
  return completion;
}

absl::StatusOr<std::shared_ptr<Completion>> CompletionService::Submit(CompletionRequest request, CompletionSink sink) {
  RETURN_IF_ERROR(Accepting());
  ASSIGN_OR_RETURN(
      EncodedPrompt encoded,
      Encode(request.prompt, request.output == nullptr ? ReasoningFormat::kNone : request.output->formats.reasoning));
  std::vector<int32_t>& tokens = encoded.tokens;
  Truncate(request, engine_->max_model_len(), tokens);
  RETURN_IF_ERROR(CheckLength(request.prompt, tokens.size(), engine_->max_model_len()));
  if (request.make_constraint) {
    ASSIGN_OR_RETURN(request.constraint, request.make_constraint(encoded.opens_reasoning));
  }
  SamplingParams& sampling = request.sampling;
  const int64_t room = engine_->max_model_len() - static_cast<int64_t>(tokens.size());
  sampling.max_tokens = static_cast<int32_t>(request.prompt_only       ? 1
                                             : sampling.max_tokens > 0 ? std::min<int64_t>(sampling.max_tokens, room)
                                                                       : room);
  sampling.min_tokens = std::min(sampling.min_tokens, sampling.max_tokens);

  auto completion = std::make_shared<RunningCompletion>(request, tokens, encoded.opens_reasoning, *codec_,
                                                        std::move(sink), engine_, executor_, metrics_);
  metrics_->Queued();
  auto id = engine_->Submit(ToGeneration(std::move(request), std::move(tokens), Deadline()),
                            [completion](const TokenEvent& event) { completion->OnEvent(event); });
  if (!id.ok()) {
    metrics_->Unqueued();
    return id.status();
  }
  completion->SetEngineId(*id);
  return completion;
}

absl::Status CompletionService::Accepting() const {
  if (draining_) {
    return WithApiCode(absl::UnavailableError("this server is shutting down; try another"), "draining");
  }
  return absl::OkStatus();
}

absl::Status CompletionService::Health() const {
  RETURN_IF_ERROR(Accepting());
  return engine_->Health();
}

}  // namespace tandem::router

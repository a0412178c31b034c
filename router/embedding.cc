#include "router/embedding.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

constexpr size_t kMaxRunning = 16;

}  // namespace

std::vector<float> NormaliseEmbedding(absl::Span<const float> vector, int32_t dimensions) {
  std::vector<float> out(vector.begin(), dimensions > 0 ? vector.begin() + dimensions : vector.end());
  double squares = 0;
  for (const float value : out) {
    squares += static_cast<double>(value) * value;
  }
  const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
  for (float& value : out) {
    value = static_cast<float>(value * scale);
  }
  return out;
}

EmbeddingJob::EmbeddingJob(CompletionService* service, EmbeddingRequest request, EmbeddingSink sink)
    : service_(service), request_(std::move(request)), deadline_(service->Deadline()), sink_(std::move(sink)) {
  absl::MutexLock lock(&mu_);
  result_.vectors.resize(request_.inputs.size());
}

void EmbeddingJob::Start() { Advance(); }

bool EmbeddingJob::Cancel() {
  EmbeddingSink sink;
  {
    absl::MutexLock lock(&mu_);
    sink = std::exchange(sink_, nullptr);
  }
  if (sink == nullptr) {
    return false;
  }
  CancelInEngine();
  return true;
}

void EmbeddingJob::Advance() {
  while (true) {
    size_t index;
    {
      absl::MutexLock lock(&mu_);
      if (sink_ == nullptr || running_ == kMaxRunning || next_ == request_.inputs.size()) {
        return;
      }
      index = next_++;
      ++running_;
    }
    if (const absl::Status status = Submit(index); !status.ok()) {
      service_->metrics().Rejected(status);
      Finish(status);
      return;
    }
  }
}

absl::Status EmbeddingJob::Submit(size_t index) {
  RETURN_IF_ERROR(service_->Accepting());
  ASSIGN_OR_RETURN(GenerationRequest generation, ToGeneration(request_.inputs[index]));
  const auto prompt_tokens = static_cast<int32_t>(generation.prompt.size());
  service_->metrics().Queued();
  auto id = service_->engine().Submit(std::move(generation), [self = shared_from_this(), index, prompt_tokens,
                                                              submitted = absl::Now()](const TokenEvent& event) {
    self->service_->executor().Post(
        [self, index, prompt_tokens, submitted, event] { self->OnEvent(index, prompt_tokens, submitted, event); });
  });
  if (!id.ok()) {
    service_->metrics().Unqueued();
    return id.status();
  }
  bool over;
  {
    absl::MutexLock lock(&mu_);
    engine_ids_.push_back(*id);
    over = sink_ == nullptr;
  }
  if (over) {  // ended meanwhile; cancelling what has finished does nothing
    service_->engine().Cancel(*id);
  }
  return absl::OkStatus();
}

absl::StatusOr<GenerationRequest> EmbeddingJob::ToGeneration(const Prompt& input) const {
  GenerationRequest generation;
  ASSIGN_OR_RETURN(generation.prompt, service_->Tokenize(input));
  const auto longest = static_cast<size_t>(service_->engine().max_model_len() - 1);
  std::vector<int32_t>& tokens = generation.prompt;
  if (const std::optional<int32_t> keep = request_.truncate_prompt_tokens; keep.has_value()) {
    const size_t limit = *keep >= 0 ? static_cast<size_t>(*keep) : longest;
    tokens.erase(tokens.begin(), tokens.end() - std::min(tokens.size(), limit));
  }
  if (tokens.empty()) {
    return InvalidField("input", "an entry of 'input' is empty: each needs at least one token");
  }
  if (tokens.size() > longest) {
    return WithApiCode(absl::InvalidArgumentError(absl::StrCat("an entry of 'input' has ", tokens.size(),
                                                               " tokens, but this model takes at most ", longest,
                                                               "; shorten it, or set truncate_prompt_tokens")),
                       "context_length_exceeded", "input");
  }
  generation.request_id = request_.request_id;
  generation.pooling = request_.pooling;
  generation.priority = request_.priority;
  generation.user = request_.user;
  generation.cache_salt = request_.cache_salt;
  generation.deadline = deadline_;
  return generation;
}

void EmbeddingJob::OnEvent(size_t index, int32_t prompt_tokens, absl::Time submitted, const TokenEvent& event) {
  if (event.finish_reason == FinishReason::kNone) {
    return;
  }
  absl::Status status = event.error;
  if (status.ok() && event.embedding == nullptr) {
    status = WithApiCode(absl::UnavailableError("the request was cancelled because this server is shutting down"),
                         "draining");
  }
  const int32_t cached = event.first == nullptr ? 0 : event.first->cached_tokens;
  service_->metrics().Embedded(event.finish_reason, event.error, prompt_tokens, cached, absl::Now() - submitted);
  bool done = false;
  {
    absl::MutexLock lock(&mu_);
    --running_;
    if (status.ok() && sink_ != nullptr) {
      result_.vectors[index] = NormaliseEmbedding(*event.embedding, request_.dimensions);
      result_.prompt_tokens += prompt_tokens;
    }
    done = running_ == 0 && next_ == request_.inputs.size();
  }
  if (!status.ok() || done) {
    Finish(status);
  } else {
    Advance();
  }
}

void EmbeddingJob::Finish(const absl::Status& status) {
  EmbeddingSink sink;
  EmbeddingResult result;
  {
    absl::MutexLock lock(&mu_);
    sink = std::exchange(sink_, nullptr);
    result = std::move(result_);
  }
  if (sink == nullptr) {
    return;
  }
  if (!status.ok()) {
    CancelInEngine();
    sink(status);
  } else {
    sink(std::move(result));
  }
}

void EmbeddingJob::CancelInEngine() {
  std::vector<uint64_t> ids;
  {
    absl::MutexLock lock(&mu_);
    ids = engine_ids_;
  }
  for (const uint64_t id : ids) {
    service_->engine().Cancel(id);
  }
}

}  // namespace tandem::router

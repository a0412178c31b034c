// Embeddings: texts in, vectors out, on top of the token engine.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "router/completion.h"

namespace tandem::router {

struct EmbeddingRequest {
  std::string request_id;
  std::vector<Prompt> inputs;  // not empty
  Pooling pooling = Pooling::kLast;
  int32_t dimensions = 0;                         // only so many of the first components; 0: all
  std::optional<int32_t> truncate_prompt_tokens;  // only so many of an input's last tokens; -1: as many as fit
  int32_t priority = 0;                           // these three: see GenerationRequest
  std::string user;
  std::string cache_salt;
};

struct EmbeddingResult {
  std::vector<std::vector<float>> vectors;  // of each input, of length 1
  int32_t prompt_tokens = 0;
};

// Called once, on the executor.
using EmbeddingSink = std::function<void(absl::StatusOr<EmbeddingResult>)>;

// The inputs of one request. A few of them are in the engine at a time, so that a long list does not fill its queue.
// An error in one ends the others. Thread-safe.
class EmbeddingJob : public std::enable_shared_from_this<EmbeddingJob> {
 public:
  // `service` must outlive the job, which keeps itself alive until the sink was called, or it was cancelled.
  EmbeddingJob(CompletionService* service, EmbeddingRequest request, EmbeddingSink sink);

  // On the executor. Errors go to the sink.
  void Start();

  // Ends everything, so that the sink is not called any more. False when it was called already, or is about to be.
  bool Cancel();

 private:
  // Submits inputs while there is room.
  void Advance();
  absl::Status Submit(size_t index);
  absl::StatusOr<GenerationRequest> ToGeneration(const Prompt& input) const;
  void OnEvent(size_t index, int32_t prompt_tokens, absl::Time submitted, const TokenEvent& event);
  // Ends the job, once.
  void Finish(const absl::Status& status);
  void CancelInEngine();

  CompletionService* const service_;
  const EmbeddingRequest request_;
  const absl::Time deadline_;

  absl::Mutex mu_;
  EmbeddingSink sink_ ABSL_GUARDED_BY(mu_);  // null once the job has ended
  EmbeddingResult result_ ABSL_GUARDED_BY(mu_);
  std::vector<uint64_t> engine_ids_ ABSL_GUARDED_BY(mu_);  // of all submitted inputs
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;
  size_t running_ ABSL_GUARDED_BY(mu_) = 0;
};

// Scales to length 1, after cutting to the first `dimensions` components (0: all). A vector of zeros stays one.
std::vector<float> NormaliseEmbedding(absl::Span<const float> vector, int32_t dimensions);

}  // namespace tandem::router

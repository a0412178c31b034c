// Keeps the token masks of constrained sequences one step ahead: as soon as a token is chosen, its constraint takes it
// and the next mask is built on a thread of its own, beside the forward pass that computes the next logits.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "base/bounded_queue.h"
#include "router/token_constraint.h"

namespace tandem::router {

// A constraint and the mask for the next token. Owned by its sequence; dropping it while its mask is being built is
// fine.
class MaskedConstraint {
 public:
  MaskedConstraint(std::unique_ptr<TokenConstraint> constraint, int64_t vocab_size);

  // Waits for the mask. Errors: those of the constraint.
  absl::StatusOr<absl::Span<const uint64_t>> Await();

 private:
  friend class MaskBuilder;

  void Start();  // a mask is to be built
  void Build(std::optional<int32_t> accepted);

  const std::unique_ptr<TokenConstraint> constraint_;  // used by whoever builds
  std::vector<uint64_t> mask_;
  absl::Mutex mutex_;
  bool ready_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// Owns the thread "masks". Its methods are called by one thread, the engine's.
class MaskBuilder {
 public:
  // `capacity`: constraints at the same time, at most.
  explicit MaskBuilder(size_t capacity);
  ~MaskBuilder();

  // Notes that the constraint's next mask is wanted: for the first token, or for the one after `accepted`. One at a time
  // for each constraint. Nobody may await it before Start.
  void Schedule(std::shared_ptr<MaskedConstraint> constraint, std::optional<int32_t> accepted);

  // Has all that were noted built. Once a step: waking the thread for every sequence costs more than most masks do.
  void Start();

 private:
  struct Job {
    std::shared_ptr<MaskedConstraint> constraint;
    std::optional<int32_t> accepted;
  };

  static void Build(const std::vector<Job>& jobs);
  void Work();

  std::vector<Job> noted_;
  BoundedQueue<std::vector<Job>> jobs_;
  std::thread thread_;
};

}  // namespace tandem::router

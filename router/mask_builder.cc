#include "router/mask_builder.h"

#include <utility>

#include "base/thread_name.h"

namespace tandem::router {

MaskedConstraint::MaskedConstraint(std::unique_ptr<TokenConstraint> constraint, int64_t vocab_size)
    : constraint_(std::move(constraint)), mask_((vocab_size + 63) / 64) {}

absl::StatusOr<absl::Span<const uint64_t>> MaskedConstraint::Await() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&ready_));  // building is bounded work
  if (!status_.ok()) {
    return status_;
  }
  return absl::MakeConstSpan(mask_);
}

void MaskedConstraint::Start() {
  absl::MutexLock lock(&mutex_);
  ready_ = false;
}

void MaskedConstraint::Build(std::optional<int32_t> accepted) {
  absl::Status status = accepted.has_value() ? constraint_->Accept(*accepted) : absl::OkStatus();
  if (status.ok()) {
    status = constraint_->FillMask(absl::MakeSpan(mask_));
  }
  absl::MutexLock lock(&mutex_);
  status_ = std::move(status);
  ready_ = true;
}

MaskBuilder::MaskBuilder(size_t capacity) : jobs_(capacity) {
  thread_ = std::thread([this] {
    SetThreadName("masks");
    Work();
  });
}

MaskBuilder::~MaskBuilder() {
  jobs_.Close();
  thread_.join();
}

void MaskBuilder::Schedule(std::shared_ptr<MaskedConstraint> constraint, std::optional<int32_t> accepted) {
  constraint->Start();
  noted_.push_back({std::move(constraint), accepted});
}

void MaskBuilder::Start() {
  if (noted_.empty()) {
    return;
  }
  std::vector<Job> jobs;
  jobs.swap(noted_);
  if (jobs_.TryPush(std::move(jobs)) != PushResult::kOk) {
    Build(jobs);  // a full queue: the caller has to help
  }
}

void MaskBuilder::Build(const std::vector<Job>& jobs) {
  for (const Job& job : jobs) {
    job.constraint->Build(job.accepted);
  }
}

void MaskBuilder::Work() {
  while (std::optional<std::vector<Job>> jobs = jobs_.Pop()) {
    Build(*jobs);
  }
}

}  // namespace tandem::router

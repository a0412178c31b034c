// An expert worker of a few lines for tests of channels: expert e of layer l maps every element x to x + 100 l + e.
#pragma once

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "transport/expert_channel.h"

namespace tandem::transport {

ModelIdentity TestIdentity();

// A frame of `num_rows` distinct float32 rows; pair i asks for expert i % num_experts of row i / num_experts, sorted.
DispatchFrame TestFrame(int layer, int num_rows, int hidden_size, int num_experts);

// What FakeHandler answers.
FrameBuffer ExpectedOutputs(const DispatchFrame& frame);

// Thread-safe.
class FakeHandler : public ExpertHandler {
 public:
  ~FakeHandler() override { Release(); }

  WorkerInfo Info() const override;
  absl::Status LoadExperts(const std::vector<LayerExpert>& experts) override;
  void Handle(DispatchFrame frame, CombineCallback done) override;

  // From now on every call fails with `status`.
  void Fail(absl::Status status);
  // From now on frames are kept until Release, which answers them in reverse order and ends the holding.
  void Hold();
  void Release();
  void WaitForHeld(size_t frames);
  size_t held() const;
  // Whether the routers of all frames that are kept have gone.
  bool RoutersAreGone() const;

  std::vector<LayerExpert> loaded() const;

 private:
  mutable absl::Mutex mutex_;
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<DispatchFrame, CombineCallback>> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<LayerExpert> loaded_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tandem::transport

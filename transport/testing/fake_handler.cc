#include "transport/testing/fake_handler.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace tandem::transport {

ModelIdentity TestIdentity() {
  return {.checkpoint_digest = "c0ffee",
          .architecture = "olmoe",
          .weight_dtype = compute::DType::kBF16,
          .wire_dtype = compute::DType::kF32};
}

DispatchFrame TestFrame(int layer, int num_rows, int hidden_size, int num_experts) {
  DispatchFrame frame;
  frame.placement_epoch = 7;
  frame.layer = layer;
  frame.num_rows = num_rows;
  frame.hidden_size = hidden_size;
  for (int expert = 0; expert < num_experts; ++expert) {
    for (int row = 0; row < num_rows; ++row) {
      frame.pairs.push_back({.row = row, .expert = expert});
    }
  }
  frame.rows = FrameBuffer(sizeof(float) * num_rows * hidden_size);
  auto* values = reinterpret_cast<float*>(frame.rows.mutable_bytes().data());
  for (int i = 0; i < num_rows * hidden_size; ++i) {
    values[i] = static_cast<float>(i) * 0.25f;
  }
  return frame;
}

FrameBuffer ExpectedOutputs(const DispatchFrame& frame) {
  FrameBuffer outputs = AllocateOutputs(frame);
  const auto* in = reinterpret_cast<const float*>(frame.rows.data());
  auto* out = reinterpret_cast<float*>(outputs.mutable_bytes().data());
  for (const ExpertPair& pair : frame.pairs) {
    for (int i = 0; i < frame.hidden_size; ++i) {
      *out++ = in[pair.row * frame.hidden_size + i] + static_cast<float>(100 * frame.layer + pair.expert);
    }
  }
  return outputs;
}

WorkerInfo FakeHandler::Info() const {
  return {.worker_id = "fake",
          .identity = TestIdentity(),
          .weights_bytes = 1000,
          .memory_bytes = 2000,
          .experts_loaded = static_cast<int64_t>(loaded().size())};
}

absl::Status FakeHandler::LoadExperts(const std::vector<LayerExpert>& experts) {
  absl::MutexLock lock(&mutex_);
  if (failure_.ok()) {
    loaded_.insert(loaded_.end(), experts.begin(), experts.end());
  }
  return failure_;
}

void FakeHandler::Handle(DispatchFrame frame, CombineCallback done) {
  absl::Status failure;
  {
    absl::MutexLock lock(&mutex_);
    if (holding_) {
      held_.emplace_back(std::move(frame), std::move(done));
      return;
    }
    failure = failure_;
  }
  if (!failure.ok()) {
    done(failure);
    return;
  }
  done(CombineFrame{
      .outputs = ExpectedOutputs(frame), .compute_time = absl::Microseconds(30), .queue_time = absl::Microseconds(4)});
}

void FakeHandler::Fail(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  failure_ = std::move(status);
}

void FakeHandler::Hold() {
  absl::MutexLock lock(&mutex_);
  holding_ = true;
}

void FakeHandler::Release() {
  std::vector<std::pair<DispatchFrame, CombineCallback>> held;
  {
    absl::MutexLock lock(&mutex_);
    holding_ = false;
    held.swap(held_);
  }
  for (auto it = held.rbegin(); it != held.rend(); ++it) {
    Handle(std::move(it->first), std::move(it->second));
  }
}

void FakeHandler::WaitForHeld(size_t frames) {
  const auto enough = [this, frames]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return held_.size() >= frames; };
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&enough));
}

size_t FakeHandler::held() const {
  absl::MutexLock lock(&mutex_);
  return held_.size();
}

bool FakeHandler::RoutersAreGone() const {
  absl::MutexLock lock(&mutex_);
  return std::all_of(held_.begin(), held_.end(), [](const auto& held) {
    return held.first.origin != nullptr && held.first.origin->gone();
  });
}

std::vector<LayerExpert> FakeHandler::loaded() const {
  absl::MutexLock lock(&mutex_);
  return loaded_;
}

}  // namespace tandem::transport

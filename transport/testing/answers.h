// Waits for the answers of dispatched frames in tests, and fails when a callback comes twice.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "absl/synchronization/mutex.h"
#include "transport/expert_channel.h"

namespace tandem::transport {

// Copies share one answer.
class Answer {
 public:
  CombineCallback Callback() const {
    return [state = state_](absl::StatusOr<CombineFrame> result) {
      absl::MutexLock lock(&state->mutex);
      EXPECT_FALSE(state->result.has_value()) << "answered twice";
      state->result = std::move(result);
    };
  }

  // Blocks until the answer is there.
  const absl::StatusOr<CombineFrame>& Get() const {
    absl::MutexLock lock(&state_->mutex);
    state_->mutex.Await(absl::Condition(
        +[](State* state) { return state->result.has_value(); }, state_.get()));
    return *state_->result;
  }

  bool ready() const {
    absl::MutexLock lock(&state_->mutex);
    return state_->result.has_value();
  }

 private:
  struct State {
    absl::Mutex mutex;
    std::optional<absl::StatusOr<CombineFrame>> result;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

inline Answer Send(ExpertChannel& channel, DispatchFrame frame) {
  Answer answer;
  channel.Dispatch(std::move(frame), answer.Callback());
  return answer;
}

inline void ExpectOutputs(const absl::StatusOr<CombineFrame>& result, const FrameBuffer& expected) {
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->outputs.size(), expected.size());
  EXPECT_TRUE(result->outputs.bytes() == expected.bytes()) << "outputs differ";
}

}  // namespace tandem::transport

#include "expert_worker/expert_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "expert_worker/testing/random_experts.h"
#include "transport/testing/answers.h"

namespace tandem::expert_worker {
namespace {

using compute::DType;
using ::testing::HasSubstr;
using transport::Answer;
using transport::CombineFrame;
using transport::DispatchFrame;
using transport::ExpectOutputs;

DispatchFrame Frame(uint64_t seed, int layer) { return RandomFrame(seed, layer, 4, DType::kF32); }

class ExpertExecutorTest : public ::testing::Test {
 protected:
  ExpertExecutorTest() { EXPECT_EQ(store_.Load(AllTestExperts()), absl::OkStatus()); }

  ExpertExecutor& Start(ExecutorOptions options = {}) {
    executor_ = std::make_unique<ExpertExecutor>(identity_, options, *backend_, store_, probe_);
    return *executor_;
  }

  // Keeps the executor's thread in the callback of a first frame until the notification comes.
  void Occupy(absl::Notification& until) {
    auto busy = std::make_shared<absl::Notification>();
    executor_->Handle(Frame(0, 0), [busy, &until](const absl::StatusOr<CombineFrame>& result) {
      EXPECT_TRUE(result.ok()) << result.status();
      busy->Notify();
      until.WaitForNotification();
    });
    busy->WaitForNotification();
  }

  Answer Handle(DispatchFrame frame) {
    Answer answer;
    executor_->Handle(std::move(frame), answer.Callback());
    return answer;
  }

  // The bits that the frame must get, computed on this thread after the executor is gone.
  transport::FrameBuffer Expected(DispatchFrame frame) {
    ExpertProbe probe(kTestLayers, kTestExperts);
    InlineExperts experts(identity_, *reference_backend_, reference_store_, probe);
    EXPECT_EQ(experts.LoadExperts(AllTestExperts()), absl::OkStatus());
    Answer answer;
    experts.Handle(std::move(frame), answer.Callback());
    EXPECT_TRUE(answer.ready()) << "inline experts answer before they return";
    return answer.Get()->outputs;
  }

  const WorkerIdentity identity_{.worker_id = "w1", .model = TestModel(DType::kF32)};
  std::unique_ptr<compute::Backend> backend_ = TestBackend(1);
  ExpertStore store_{TestLoader(*backend_, DType::kF32)};
  std::unique_ptr<compute::Backend> reference_backend_ = TestBackend(1);
  ExpertStore reference_store_{TestLoader(*reference_backend_, DType::kF32)};
  ExpertProbe probe_{kTestLayers, kTestExperts};
  std::unique_ptr<ExpertExecutor> executor_;
};

TEST_F(ExpertExecutorTest, AnswersWithTheSameBitsAsInlineExperts) {
  Start();
  std::vector<Answer> answers;
  for (int i = 0; i < 30; ++i) {
    answers.push_back(Handle(Frame(i, i % kTestLayers)));
  }
  for (int i = 0; i < 30; ++i) {
    ExpectOutputs(answers[i].Get(), Expected(Frame(i, i % kTestLayers)));
  }
}

TEST_F(ExpertExecutorTest, TakesFramesThatWaitForTheSameLayerTogether) {
  Start();
  absl::Notification go;
  Occupy(go);
  const std::vector<int> layers = {1, 2, 1, 1, 2};
  std::vector<Answer> answers;
  for (size_t i = 0; i < layers.size(); ++i) {
    answers.push_back(Handle(Frame(i, layers[i])));
  }
  EXPECT_EQ(executor_->queue_depth(), 5);
  go.Notify();
  for (size_t i = 0; i < layers.size(); ++i) {
    ExpectOutputs(answers[i].Get(), Expected(Frame(i, layers[i])));
  }
  EXPECT_EQ(probe_.batches(), 3);
  EXPECT_EQ(probe_.frames(), 6);
}

TEST_F(ExpertExecutorTest, LimitsWhatIsTakenTogether) {
  const auto pairs = static_cast<int64_t>(Frame(7, 1).pairs.size());
  Start({.max_batch_pairs = 2 * pairs});
  absl::Notification go;
  Occupy(go);
  std::vector<Answer> answers;
  for (int i = 0; i < 5; ++i) {
    answers.push_back(Handle(Frame(7, 1)));
  }
  go.Notify();
  for (const Answer& answer : answers) {
    ExpectOutputs(answer.Get(), Expected(Frame(7, 1)));
  }
  EXPECT_EQ(probe_.batches(), 1 + 3);
}

TEST_F(ExpertExecutorTest, RefusesFramesPastItsQueue) {
  Start({.queue_capacity = 2});
  absl::Notification go;
  Occupy(go);
  const Answer first = Handle(Frame(1, 1));
  const Answer second = Handle(Frame(2, 2));
  const Answer third = Handle(Frame(3, 1));
  ASSERT_TRUE(third.ready());
  EXPECT_EQ(third.Get().status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(probe_.rejected_frames(), 1);
  go.Notify();
  EXPECT_TRUE(first.Get().ok());
  EXPECT_TRUE(second.Get().ok());
}

TEST_F(ExpertExecutorTest, DoesNotComputeExpiredFrames) {
  Start();
  absl::Notification go;
  Occupy(go);
  DispatchFrame late = Frame(1, 1);
  late.deadline = absl::Now() - absl::Milliseconds(1);
  const Answer expired = Handle(late);
  const Answer fine = Handle(Frame(2, 1));
  go.Notify();
  EXPECT_EQ(expired.Get().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(expired.Get().status().message(), HasSubstr("layer 1"));
  ExpectOutputs(fine.Get(), Expected(Frame(2, 1)));
  EXPECT_EQ(probe_.expired_frames(), 1);
  EXPECT_EQ(probe_.frames(), 2);
}

TEST_F(ExpertExecutorTest, DoesNotComputeFramesOfRoutersThatAreGone) {
  Start();
  absl::Notification go;
  Occupy(go);
  const auto leaving = std::make_shared<transport::FrameOrigin>();
  const auto staying = std::make_shared<transport::FrameOrigin>();
  const auto from = [&](const std::shared_ptr<transport::FrameOrigin>& origin, uint64_t seed) {
    DispatchFrame frame = Frame(seed, 1);
    frame.origin = origin;
    return Handle(std::move(frame));
  };
  const Answer abandoned = from(leaving, 1);
  const Answer wanted = from(staying, 2);
  leaving->MarkGone();
  go.Notify();
  EXPECT_EQ(abandoned.Get().status().code(), absl::StatusCode::kCancelled);
  ExpectOutputs(wanted.Get(), Expected(Frame(2, 1)));
  EXPECT_EQ(probe_.abandoned_frames(), 1);
  EXPECT_EQ(probe_.frames(), 2);
}

TEST_F(ExpertExecutorTest, DrainsWhatItHasAndRefusesTheRest) {
  Start();
  absl::Notification go;
  Occupy(go);
  const Answer waiting = Handle(Frame(1, 1));
  EXPECT_FALSE(executor_->Info().draining);
  executor_->StopIntake();
  EXPECT_TRUE(executor_->Info().draining);
  const Answer refused = Handle(Frame(2, 1));
  EXPECT_EQ(refused.Get().status().code(), absl::StatusCode::kUnavailable);
  go.Notify();
  executor_->Drain();
  ASSERT_TRUE(waiting.ready());
  EXPECT_TRUE(waiting.Get().ok());
}

TEST_F(ExpertExecutorTest, TellsWhatItHolds) {
  const transport::WorkerInfo info = Start().Info();
  EXPECT_EQ(info.worker_id, "w1");
  EXPECT_EQ(info.identity, TestModel(DType::kF32));
  EXPECT_EQ(info.experts_loaded, kTestLayers * kTestExperts);
  EXPECT_EQ(info.weights_bytes, store_.weights_bytes());
  EXPECT_GT(info.weights_bytes, 0);
  EXPECT_GT(info.memory_bytes, info.weights_bytes);
}

}  // namespace
}  // namespace tandem::expert_worker

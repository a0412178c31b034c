// The head's side of the line against a stage that does what the test says.
#include "router/stage_chain.h"

#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "base/status.h"

namespace tandem::router {
namespace {

class PuppetStage : public transport::StageHandler {
 public:
  absl::StatusOr<int64_t> Agree(const transport::StageTerms&, absl::Time) override {
    absl::MutexLock lock(&mutex_);
    link_ = nullptr;  // the next one is on its way
    return blocks_;
  }
  absl::StatusOr<transport::StageCallbacks> Open(std::shared_ptr<transport::StageLink> link) override {
    absl::MutexLock lock(&mutex_);
    link_ = std::move(link);
    return transport::StageCallbacks{.on_message = [](const transport::StageMessage&) {},
                                     .on_lost = [](const absl::Status&) {}};
  }
  void Send(const transport::StageMessage& message) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](std::shared_ptr<transport::StageLink>* link) { return *link != nullptr; }, &link_));
    ASSERT_TRUE(link_->Send(message).ok());
  }
  void SetBlocks(int64_t blocks) {
    absl::MutexLock lock(&mutex_);
    blocks_ = blocks;
  }

 private:
  absl::Mutex mutex_;
  int64_t blocks_ ABSL_GUARDED_BY(mutex_) = 100;
  std::shared_ptr<transport::StageLink> link_ ABSL_GUARDED_BY(mutex_);
};

class StageChainTest : public ::testing::Test {
 protected:
  void Start(absl::Duration step_timeout) {
    auto server = transport::StartStageServer("127.0.0.1:0", &stage_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    chain_ = std::make_unique<StageChain>(StageChain::Options{.address = absl::StrCat("127.0.0.1:", server_->port()),
                                                              .terms = {.stage = 1, .num_stages = 2},
                                                              .step_timeout = step_timeout});
    ASSERT_TRUE(AwaitReady().ok());
  }

  absl::Status AwaitReady() { return chain_->WaitUntilReady(absl::Now() + absl::Seconds(60), nullptr); }

  // Begins a step of one micro-batch and waits for its rows or its error.
  absl::StatusOr<transport::FrameBuffer> RunStep(
      uint64_t step, const std::function<void()>& meanwhile = [] {}) {
    RETURN_IF_ERROR(chain_->Begin({.step = step, .copies = {}, .micro_batches = {{.num_rows = 1}}}));
    absl::Notification arrived;
    chain_->Expect(step, 0, [&arrived] { arrived.Notify(); });
    meanwhile();
    arrived.WaitForNotification();
    return chain_->Take(step, 0);
  }

  PuppetStage stage_;
  std::unique_ptr<transport::StageServer> server_;
  std::unique_ptr<StageChain> chain_;
};

TEST_F(StageChainTest, StepsFailUntilTheNewLineWasTakenNoteOf) {
  Start(absl::Seconds(60));
  EXPECT_EQ(chain_->kv_blocks(), 100);
  EXPECT_TRUE(absl::IsUnavailable(RunStep(1).status()));
  EXPECT_TRUE(chain_->TakeRenewed());
  EXPECT_FALSE(chain_->TakeRenewed());
  const auto rows = RunStep(
      2, [this] { stage_.Send(transport::StageRows{.step = 2, .result = true, .rows = transport::FrameBuffer(12)}); });
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->size(), 12u);
}

TEST_F(StageChainTest, AStepThatFailsElsewhereFailsHereAndTheLineStays) {
  Start(absl::Seconds(60));
  EXPECT_TRUE(chain_->TakeRenewed());
  const auto rows = RunStep(1, [this] {
    stage_.Send(transport::StageFailure{.step = 1, .error = absl::InternalError("stage 1: out of luck")});
  });
  EXPECT_EQ(rows.status(), absl::InternalError("stage 1: out of luck"));
  EXPECT_TRUE(chain_->Health().ok());
}

TEST_F(StageChainTest, AStageThatSaysThatAnotherIsLostIsConnectedAnew) {
  Start(absl::Seconds(60));
  EXPECT_TRUE(chain_->TakeRenewed());
  const auto rows = RunStep(
      1, [this] { stage_.Send(transport::StageFailure{.step = 0, .error = absl::UnavailableError("stage 2: gone")}); });
  EXPECT_TRUE(absl::IsUnavailable(rows.status())) << rows.status();
  ASSERT_TRUE(AwaitReady().ok());
  EXPECT_TRUE(chain_->TakeRenewed());
}

TEST_F(StageChainTest, AStageThatHangsIsGivenUp) {
  Start(absl::Milliseconds(20));
  EXPECT_TRUE(chain_->TakeRenewed());
  const auto rows = RunStep(1);
  EXPECT_TRUE(absl::IsUnavailable(rows.status())) << rows.status();
  ASSERT_TRUE(AwaitReady().ok());
  EXPECT_TRUE(chain_->TakeRenewed()) << "the line was made anew";
}

TEST_F(StageChainTest, AStageThatComesBackSmallerIsRefused) {
  Start(absl::Seconds(60));
  EXPECT_TRUE(chain_->TakeRenewed());
  chain_->RequireKvBlocks(100);
  stage_.SetBlocks(99);
  EXPECT_FALSE(RunStep(1, [this] {
                 stage_.Send(transport::StageFailure{.step = 0, .error = absl::UnavailableError("lost")});
               }).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(chain_->WaitUntilReady(absl::Now() + absl::Milliseconds(200), nullptr)));
  EXPECT_NE(std::string(chain_->Health().message()).find("99 KV blocks"), std::string::npos) << chain_->Health();
  stage_.SetBlocks(100);
  EXPECT_TRUE(AwaitReady().ok());
}

TEST_F(StageChainTest, ReportsAddUp) {
  Start(absl::Seconds(60));
  EXPECT_TRUE(chain_->TakeRenewed());
  const auto rows = RunStep(1, [this] {
    stage_.Send(transport::StageReport{.step = 1, .stage = 1, .busy = absl::Seconds(1), .stages = absl::Seconds(2)});
    stage_.Send(transport::StageReport{.step = 1, .stage = 1, .busy = absl::Seconds(3)});
    stage_.Send(transport::StageReport{.step = 1, .stage = 9});
    stage_.Send(transport::StageRows{.step = 1, .result = true});
  });
  ASSERT_TRUE(rows.ok()) << rows.status();
  const std::vector<StageTotals> totals = chain_->Totals();
  ASSERT_EQ(totals.size(), 1u);
  EXPECT_EQ(totals[0].steps, 2u);
  EXPECT_EQ(totals[0].busy_seconds, 4);
  EXPECT_EQ(totals[0].stage_wait_seconds, 2);
}

}  // namespace
}  // namespace tandem::router

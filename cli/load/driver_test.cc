#include "cli/load/driver.h"

#include <gmock/gmock.h>

#include <deque>
#include <limits>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace tandem::cli {
namespace {

// Holds requests until the test lets them end.
class HeldTarget final : public Target {
 public:
  const TargetModel& model() const override { return model_; }

  void Send(const LoadRequest& request, std::shared_ptr<RequestMeter> meter) override {
    meter->Sent(absl::Now());
    absl::MutexLock lock(&mutex_);
    max_tokens_.push_back(request.max_tokens);
    held_.push_back(std::move(meter));
    most_held_ = std::max(most_held_, held_.size());
  }

  // Waits for a request and answers it.
  void AnswerOne(const std::string& error = "") {
    std::shared_ptr<RequestMeter> meter;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](HeldTarget* self) { return !self->held_.empty(); }, this));
      meter = std::move(held_.front());
      held_.pop_front();
    }
    meter->Output(absl::Now(), 1);
    meter->End(absl::Now(), error);
  }

  void AwaitHeld(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return held_.size() >= count; };
    mutex_.Await(absl::Condition(&enough));
  }

  size_t most_held() const {
    absl::MutexLock lock(&mutex_);
    return most_held_;
  }
  std::vector<int> max_tokens() const {
    absl::MutexLock lock(&mutex_);
    return max_tokens_;
  }

 private:
  TargetModel model_ = {.name = "held"};
  mutable absl::Mutex mutex_;
  std::deque<std::shared_ptr<RequestMeter>> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<int> max_tokens_ ABSL_GUARDED_BY(mutex_);
  size_t most_held_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Request i asks for i tokens.
class CountingWorkload final : public Workload {
 public:
  LoadRequest Request(int64_t index) const override { return {.prompt = "x", .max_tokens = static_cast<int>(index)}; }
};

void IgnoreProgress(const LoadState&) {}

TEST(DriverTest, AClosedLoopKeepsItsNumberOfRequestsRunning) {
  HeldTarget target;
  absl::Notification stop;
  std::thread answers([&] {
    target.AwaitHeld(3);
    for (int i = 0; i < 10; ++i) target.AnswerOne(i == 4 ? "429" : "");
  });
  const LoadResult result =
      RunLoad({.concurrency = 3, .num_requests = 10}, CountingWorkload(), target, stop, IgnoreProgress);
  answers.join();
  EXPECT_EQ(result.records.size(), 10);
  EXPECT_EQ(result.peak_in_flight, 3);
  EXPECT_EQ(target.most_held(), 3);
  EXPECT_EQ(result.unfinished, 0);
  EXPECT_THAT(target.max_tokens(), testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_EQ(std::count_if(result.records.begin(), result.records.end(), [](const auto& r) { return !r.ok(); }), 1);
}

// What makes it open: requests come although no answer does.
TEST(DriverTest, AnOpenLoopDoesNotWaitForAnswers) {
  HeldTarget target;
  absl::Notification stop;
  std::thread answers([&] {
    target.AwaitHeld(20);
    for (int i = 0; i < 20; ++i) target.AnswerOne();
  });
  const LoadResult result =
      RunLoad({.request_rate = 1000, .num_requests = 20}, CountingWorkload(), target, stop, IgnoreProgress);
  answers.join();
  EXPECT_EQ(result.peak_in_flight, 20);
  EXPECT_EQ(result.records.size(), 20);
  for (const RequestRecord& record : result.records) {
    EXPECT_GE(record.sent, record.scheduled);
  }
}

TEST(DriverTest, AnInfiniteRateIsDueAtTheStart) {
  HeldTarget target;
  absl::Notification stop;
  std::thread answers([&] {
    target.AwaitHeld(50);
    for (int i = 0; i < 50; ++i) target.AnswerOne();
  });
  const LoadResult result = RunLoad({.request_rate = std::numeric_limits<double>::infinity(), .num_requests = 50},
                                    CountingWorkload(), target, stop, IgnoreProgress);
  answers.join();
  for (const RequestRecord& record : result.records) {
    EXPECT_EQ(record.scheduled, result.start);
  }
}

TEST(DriverTest, NothingStartsAfterTheDuration) {
  HeldTarget target;
  absl::Notification stop;
  const LoadResult result = RunLoad({.request_rate = 1e-6, .duration = absl::Milliseconds(1)}, CountingWorkload(),
                                    target, stop, IgnoreProgress);
  EXPECT_EQ(result.records.size(), 0);
  EXPECT_EQ(result.unfinished, 0);
}

TEST(DriverTest, AStopLeavesWhatIsUnfinished) {
  HeldTarget target;
  absl::Notification stop;
  std::thread stopper([&] {
    target.AwaitHeld(4);
    target.AnswerOne();
    stop.Notify();
  });
  const LoadResult result = RunLoad({.concurrency = 4}, CountingWorkload(), target, stop, IgnoreProgress);
  stopper.join();
  EXPECT_EQ(result.records.size(), 1);
  EXPECT_GE(result.unfinished, 3);
  for (int64_t i = 0; i < result.unfinished; ++i) {
    target.AnswerOne();  // after the run; harmless
  }
}

}  // namespace
}  // namespace tandem::cli

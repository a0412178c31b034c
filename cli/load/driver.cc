#include "cli/load/driver.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "cli/load/arrivals.h"

namespace tandem::cli {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(200);

absl::Duration ProcessorTime() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
}

// What the target's threads report and the driver waits for. Shared with the meters, because requests may outlive the
// run.
class Collector : public std::enable_shared_from_this<Collector> {
 public:
  std::shared_ptr<RequestMeter> StartRequest(absl::Time scheduled) {
    absl::MutexLock lock(&mutex_);
    ++sent_;
    peak_in_flight_ = std::max(peak_in_flight_, sent_ - static_cast<int64_t>(records_.size()));
    return std::make_shared<RequestMeter>(
        scheduled, [self = shared_from_this()](int64_t tokens) { self->AddTokens(tokens); },
        [self = shared_from_this()](RequestRecord record) { self->Add(std::move(record)); });
  }

  // Returns at `time`, or as soon as fewer than `limit` requests run.
  void AwaitFewerThan(int64_t limit, absl::Time time) {
    absl::MutexLock lock(&mutex_);
    limit_ = limit;
    mutex_.AwaitWithDeadline(absl::Condition(this, &Collector::BelowLimit), time);
  }

  int64_t in_flight() const {
    absl::MutexLock lock(&mutex_);
    return sent_ - static_cast<int64_t>(records_.size());
  }

  LoadState State(absl::Duration elapsed) const {
    absl::MutexLock lock(&mutex_);
    return {elapsed, sent_, static_cast<int64_t>(records_.size()), failed_, output_tokens_};
  }

  LoadResult TakeResult() {
    absl::MutexLock lock(&mutex_);
    LoadResult result;
    result.unfinished = sent_ - static_cast<int64_t>(records_.size());
    result.peak_in_flight = static_cast<int>(peak_in_flight_);
    result.records = std::exchange(records_, {});
    return result;
  }

 private:
  void AddTokens(int64_t tokens) {
    absl::MutexLock lock(&mutex_);
    output_tokens_ += tokens;
  }

  void Add(RequestRecord record) {
    absl::MutexLock lock(&mutex_);
    failed_ += record.ok() ? 0 : 1;
    records_.push_back(std::move(record));
  }

  bool BelowLimit() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return sent_ - static_cast<int64_t>(records_.size()) < limit_;
  }

  mutable absl::Mutex mutex_;
  std::vector<RequestRecord> records_ ABSL_GUARDED_BY(mutex_);
  int64_t sent_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t failed_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t output_tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t peak_in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t limit_ ABSL_GUARDED_BY(mutex_) = 0;
};

// One run, on the calling thread.
class Run {
 public:
  Run(const LoadPlan& plan, const Workload& workload, Target& target, const absl::Notification& stop,
      const std::function<void(const LoadState&)>& on_progress)
      : plan_(plan), workload_(workload), target_(target), stop_(stop), on_progress_(on_progress) {}

  LoadResult Execute() {
    if (plan_.request_rate > 0) {
      SendAtTheirTimes();
    } else {
      KeepBusy();
    }
    while (!stop_.HasBeenNotified() && collector_->in_flight() > 0) {
      WaitForFewerThan(1);
    }
    LoadResult result = collector_->TakeResult();
    result.start = start_;
    result.end = absl::Now();
    result.cpu_cores = absl::FDivDuration(ProcessorTime() - processor_time_, result.end - start_);
    return result;
  }

 private:
  void SendAtTheirTimes() {
    PoissonArrivals arrivals(plan_.request_rate, plan_.seed);
    while (MaySend()) {
      const absl::Time due = start_ + arrivals.Next();
      if (due - start_ > plan_.duration) {
        return;
      }
      while (!stop_.HasBeenNotified() && absl::Now() < due) {
        Progress();
        collector_->AwaitFewerThan(/*limit=*/0, std::min(due, next_progress_));
      }
      Send(due);
    }
  }

  void KeepBusy() {
    while (MaySend() && absl::Now() - start_ <= plan_.duration) {
      if (collector_->in_flight() >= plan_.concurrency) {
        WaitForFewerThan(plan_.concurrency);
      } else {
        Send(absl::Now());
      }
    }
  }

  bool MaySend() const {
    return !stop_.HasBeenNotified() && (plan_.num_requests == 0 || next_index_ < plan_.num_requests);
  }

  void Send(absl::Time scheduled) {
    if (!stop_.HasBeenNotified()) {
      target_.Send(workload_.Request(next_index_++), collector_->StartRequest(scheduled));
    }
    Progress();
  }

  void WaitForFewerThan(int64_t limit) {
    Progress();
    collector_->AwaitFewerThan(limit, next_progress_);
  }

  void Progress() {
    if (const absl::Time now = absl::Now(); now >= next_progress_) {
      next_progress_ = now + kProgressInterval;
      on_progress_(collector_->State(now - start_));
    }
  }

  const LoadPlan plan_;
  const Workload& workload_;
  Target& target_;
  const absl::Notification& stop_;
  const std::function<void(const LoadState&)>& on_progress_;
  const std::shared_ptr<Collector> collector_ = std::make_shared<Collector>();
  const absl::Duration processor_time_ = ProcessorTime();
  const absl::Time start_ = absl::Now();
  absl::Time next_progress_ = start_;
  int64_t next_index_ = 0;
};

}  // namespace

LoadResult RunLoad(const LoadPlan& plan, const Workload& workload, Target& target, const absl::Notification& stop,
                   const std::function<void(const LoadState&)>& on_progress) {
  return Run(plan, workload, target, stop, on_progress).Execute();
}

}  // namespace tandem::cli

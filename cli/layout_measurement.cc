#include "cli/layout_measurement.h"

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/status.h"

namespace tandem::cli {
namespace {

constexpr auto kSeconds = {&MeasuredStep::step,   &MeasuredStep::router, &MeasuredStep::shared, &MeasuredStep::wait,
                           &MeasuredStep::expert, &MeasuredStep::head,   &MeasuredStep::rest};
constexpr auto kCounts = {&MeasuredStep::micro_batches, &MeasuredStep::positions};

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Means over the steps between two snapshots.
MeasuredStep PartsBetween(const router::EngineStats& begin, const router::EngineStats& end) {
  const auto n = std::max<double>(static_cast<double>(end.steps - begin.steps), 1);
  MeasuredStep step;
  step.router = (end.router_seconds - begin.router_seconds) / n;
  step.shared = (end.shared_seconds - begin.shared_seconds) / n;
  step.wait =
      (end.expert_wait_seconds + end.wire_wait_seconds - begin.expert_wait_seconds - begin.wire_wait_seconds) / n;
  step.expert = (end.expert_seconds - begin.expert_seconds) / n;
  step.head = (end.logits_seconds + end.sample_seconds - begin.logits_seconds - begin.sample_seconds) / n;
  step.micro_batches = static_cast<double>(end.micro_batches - begin.micro_batches) / n;
  return step;
}

// Collects a batch's token times. Sinks run on the engine's output thread, the measuring thread waits.
class TokenTimes {
 public:
  TokenTimes(const router::Engine& engine, int sequences, int steps)
      : engine_(engine), steps_(steps), missing_(sequences), unfinished_(sequences) {}

  void OnEvent(bool first, const router::TokenEvent& event) {
    absl::MutexLock lock(&mutex_);
    if (event.finish_reason != router::FinishReason::kNone) {
      error_.Update(event.error);
      --unfinished_;
    }
    if (first && --missing_ == 0) {
      begin_ = engine_.Stats();
    }
    // All of a step's events carry the same time.
    const bool new_step = missing_ == 0 && (times_.empty() || event.time > times_.back());
    if (new_step && static_cast<int>(times_.size()) <= steps_) {
      times_.push_back(event.time);
      if (Complete()) {
        end_ = engine_.Stats();
      }
    }
  }

  // Until all sequences have made so many steps together, or ended before.
  void WaitForSteps() {
    absl::MutexLock lock(&mutex_);
    const auto done = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return Complete() || unfinished_ == 0; };
    mutex_.Await(absl::Condition(&done));
  }

  absl::Status WaitForEnd() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](int* unfinished) { return *unfinished == 0; }, &unfinished_));
    if (error_.ok() && !Complete()) {
      return absl::InternalError(absl::StrCat("sequences ended after ", times_.size(), " of ", steps_, " steps"));
    }
    return error_;
  }

  // Over the steps after the one that gave the last first token.
  MeasuredStep Result() {
    absl::MutexLock lock(&mutex_);
    MeasuredStep step = PartsBetween(begin_, end_);
    std::vector<double> gaps;
    for (size_t i = 1; i < times_.size(); ++i) {
      gaps.push_back(absl::ToDoubleSeconds(times_[i] - times_[i - 1]));
    }
    step.step = Median(gaps);
    const double mean = absl::ToDoubleSeconds(times_.back() - times_.front()) / static_cast<double>(gaps.size());
    step.rest = std::max(mean - step.router - step.shared - step.wait - step.head, 0.0);
    for (double* part : {&step.router, &step.shared, &step.wait, &step.expert, &step.head, &step.rest}) {
      *part *= step.step / mean;
    }
    return step;
  }

 private:
  bool Complete() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return static_cast<int>(times_.size()) > steps_; }

  const router::Engine& engine_;
  const int steps_;
  absl::Mutex mutex_;
  int missing_ ABSL_GUARDED_BY(mutex_);
  int unfinished_ ABSL_GUARDED_BY(mutex_);
  router::EngineStats begin_ ABSL_GUARDED_BY(mutex_);
  router::EngineStats end_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Time> times_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
};

router::GenerationRequest RandomRequest(std::mt19937_64& random, int64_t vocab_size, int prompt_tokens, int index) {
  router::GenerationRequest request;
  for (int i = 0; i < prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab_size)));
  }
  request.sampling.temperature = 1;
  request.sampling.seed = index;
  request.sampling.ignore_eos = true;
  return request;
}

}  // namespace

absl::StatusOr<MeasuredStep> MeasureLayout(router::Engine& engine, const LayoutRun& run) {
  engine.SetMicroBatches(run.micro_batches);
  const auto times = std::make_shared<TokenTimes>(engine, run.batch, run.steps);
  std::mt19937_64 random(1);
  std::vector<uint64_t> ids;
  for (int i = 0; i < run.batch; ++i) {
    router::GenerationRequest request = RandomRequest(random, engine.vocab_size(), run.context, i);
    request.sampling.max_tokens = engine.max_model_len();
    const auto id = engine.Submit(std::move(request), [times, first = true](const router::TokenEvent& event) mutable {
      times->OnEvent(std::exchange(first, false), event);
    });
    RETURN_IF_ERROR(id.status());
    ids.push_back(*id);
  }
  times->WaitForSteps();
  for (const uint64_t id : ids) {
    engine.Cancel(id);
  }
  RETURN_IF_ERROR(times->WaitForEnd());
  MeasuredStep step = times->Result();
  step.positions = run.context + (run.steps + 1) / 2.0;
  return step;
}

absl::StatusOr<MeasuredStep> MeasurePrefill(router::Engine& engine, int tokens) {
  engine.SetMicroBatches(1);
  std::mt19937_64 random(1);
  router::GenerationRequest request = RandomRequest(random, engine.vocab_size(), tokens, 0);
  request.sampling.max_tokens = 1;
  const router::EngineStats begin = engine.Stats();
  const auto times = std::make_shared<TokenTimes>(engine, 1, 0);
  const auto id = engine.Submit(std::move(request), [times, first = true](const router::TokenEvent& event) mutable {
    times->OnEvent(std::exchange(first, false), event);
  });
  RETURN_IF_ERROR(id.status());
  RETURN_IF_ERROR(times->WaitForEnd());
  MeasuredStep step = PartsBetween(begin, engine.Stats());
  step.positions = (tokens + 1) / 2.0;
  return step;
}

int StepsFor(int batch, int steps) { return batch <= 2 ? 6 * steps : batch <= 8 ? 3 * steps : steps; }

int64_t ContextFor(const LayoutRun& run, int64_t max_batch_tokens) {
  const int64_t prefill_steps = int64_t{run.batch} * run.context / std::max<int64_t>(max_batch_tokens - run.batch, 1);
  return run.context + run.steps + 2 * prefill_steps + 16;
}

MeasuredStep Scaled(MeasuredStep step, double factor) {
  for (const auto part : kSeconds) {
    step.*part *= factor;
  }
  return step;
}

MeasuredStep MedianOf(const std::vector<MeasuredStep>& runs) {
  MeasuredStep result;
  for (const auto& fields : {kSeconds, kCounts}) {
    for (const auto field : fields) {
      std::vector<double> values;
      for (const MeasuredStep& run : runs) {
        values.push_back(run.*field);
      }
      result.*field = Median(values);
    }
  }
  return result;
}

}  // namespace tandem::cli

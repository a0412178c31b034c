#include "base/trace.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/status.h"

namespace tandem::trace {

Track Recorder::AddTrack(absl::string_view name, TrackKind kind) {
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < tracks_.size(); ++i) {
    if (tracks_[i].name == name) {
      return static_cast<Track>(i);
    }
  }
  tracks_.push_back({std::string(name), kind});
  return static_cast<Track>(tracks_.size() - 1);
}

absl::Status Recorder::Start(const Limits& limits) {
  absl::MutexLock lock(&mutex_);
  if (state_ != State::kIdle) {
    return absl::ResourceExhaustedError("a trace is being recorded already; ask again when it is complete");
  }
  state_ = State::kStarted;
  steps_ = 0;
  complete_ = 0;
  max_steps_ = limits.steps;
  claimed_.store(0, std::memory_order_relaxed);
  capacity_ = limits.spans;
  spans_ = std::make_unique_for_overwrite<Span[]>(static_cast<size_t>(capacity_));
  waiting_for_step_.store(true, std::memory_order_relaxed);
  return absl::OkStatus();
}

void Recorder::Begin() {
  absl::MutexLock lock(&mutex_);
  if (state_ == State::kStarted) {
    state_ = State::kRecording;
    waiting_for_step_.store(false, std::memory_order_relaxed);
    recording_.store(true, std::memory_order_seq_cst);
  }
}

void Recorder::CountStep() {
  absl::MutexLock lock(&mutex_);
  if (state_ != State::kRecording) {
    return;
  }
  complete_ = claimed_.load(std::memory_order_relaxed);
  if (++steps_ == max_steps_) {
    recording_.store(false, std::memory_order_seq_cst);
    state_ = State::kComplete;
  }
}

bool Recorder::AwaitSteps(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto over = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return interrupted_ || state_ == State::kComplete; };
  mutex_.AwaitWithDeadline(absl::Condition(&over), deadline);
  return state_ == State::kComplete;
}

void Recorder::Interrupt() {
  absl::MutexLock lock(&mutex_);
  interrupted_ = true;
}

Recording Recorder::Stop() {
  absl::MutexLock lock(&mutex_);
  TANDEM_CHECK(state_ != State::kIdle, "no recording to stop");
  state_ = State::kIdle;
  waiting_for_step_.store(false, std::memory_order_relaxed);
  recording_.store(false, std::memory_order_seq_cst);
  // Whoever saw recording_ as true is counted in writers_; a span takes nanoseconds to write.
  while (writers_.load(std::memory_order_seq_cst) != 0) {
    std::this_thread::yield();
  }
  Recording recording;
  recording.tracks = tracks_;
  recording.steps = steps_;
  recording.num_spans = std::min(complete_, capacity_);
  recording.dropped_spans = complete_ - recording.num_spans;
  recording.storage = std::move(spans_);
  return recording;
}

void Recorder::Keep(Track track, const char* name, const char* category, absl::Time begin, absl::Time end,
                    absl::Span<const Arg> args) {
  writers_.fetch_add(1, std::memory_order_seq_cst);
  if (recording_.load(std::memory_order_seq_cst)) {
    const int64_t index = claimed_.fetch_add(1, std::memory_order_relaxed);
    if (index < capacity_) {
      Span& span = spans_[static_cast<size_t>(index)];
      span.name = name;
      span.category = category;
      span.begin_ns = absl::ToUnixNanos(begin);
      span.end_ns = absl::ToUnixNanos(end);
      span.track = track;
      span.num_args = static_cast<int32_t>(std::min<size_t>(args.size(), kMaxArgs));
      std::copy_n(args.begin(), span.num_args, span.args);
    }
  }
  writers_.fetch_sub(1, std::memory_order_release);
}

void Scope::Finish() {
  if (recorder_->recording()) {
    recorder_->Keep(track_, name_, category_, begin_, absl::Now(), {args_, static_cast<size_t>(num_args_)});
  }
}

}  // namespace tandem::trace

// Spans of what a process does and when, on named tracks: recorded cheaply, drawn as a timeline (base/trace_json.h).
//
//   const trace::Scope scope(recorder, track, "attention", "decode", {{"layer", 3}, {"micro_batch", 0}});
//
// While nothing is recorded a span costs one relaxed load; while recording, two clock readings and three atomic
// additions, whatever the number of threads. Memory is bounded: spans beyond the limit are counted, not kept.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace tandem::trace {

// A row of the timeline.
using Track = int32_t;

enum class TrackKind : uint8_t {
  kNested,    // spans of one thread: they lie inside each other or apart
  kParallel,  // spans may overlap in any way; the timeline gives it as many rows as that takes
};

struct Arg {
  const char* name;
  int64_t value;
};

inline constexpr int kMaxArgs = 5;

// Left uninitialised on purpose: memory of spans that are never recorded is never touched. The strings are literals.
struct Span {
  const char* name;
  const char* category;  // "" for none; stands before the name: "decode attention"
  int64_t begin_ns;      // since the Unix epoch
  int64_t end_ns;
  Track track;
  int32_t num_args;
  Arg args[kMaxArgs];
};

struct TrackInfo {
  std::string name;
  TrackKind kind = TrackKind::kNested;
};

// What was recorded; plain data.
struct Recording {
  std::vector<TrackInfo> tracks;
  int64_t steps = 0;          // complete ones
  int64_t dropped_spans = 0;  // beyond the limit
  int64_t num_spans = 0;
  std::unique_ptr<Span[]> storage;

  absl::Span<const Span> spans() const { return {storage.get(), static_cast<size_t>(num_spans)}; }
};

struct Limits {
  int64_t spans = int64_t{1} << 20;
  int64_t steps = 0;  // ends after so many; 0: when it is stopped
};

// One recording at a time, of whole steps. Thread-safe; one thread marks the steps.
class Recorder {
 public:
  Recorder() = default;
  Recorder(const Recorder&) = delete;

  // The same name gives the same track. Tracks stay for the life of the recorder.
  Track AddTrack(absl::string_view name, TrackKind kind = TrackKind::kNested);

  // Records from the next step on. Errors: RESOURCE_EXHAUSTED while a recording is under way.
  absl::Status Start(const Limits& limits);
  // Waits for the limit of steps; false when `deadline` or Interrupt came first. The recording goes on until Stop.
  bool AwaitSteps(absl::Time deadline);
  // Makes AwaitSteps return, now and from now on.
  void Interrupt();
  // Ends the recording that was started and hands over its complete steps.
  Recording Stop();

  bool recording() const { return recording_.load(std::memory_order_relaxed); }
  void Add(Track track, const char* name, const char* category, absl::Time begin, absl::Time end,
           std::initializer_list<Arg> args) {
    if (recording()) {
      Keep(track, name, category, begin, end, {args.begin(), args.size()});
    }
  }

  // Around what steps consist of.
  void BeginStep() {
    if (waiting_for_step_.load(std::memory_order_relaxed)) {
      Begin();
    }
  }
  void EndStep() {
    if (recording()) {
      CountStep();
    }
  }

 private:
  friend class Scope;
  enum class State : uint8_t { kIdle, kStarted, kRecording, kComplete };

  void Begin();
  void CountStep();
  void Keep(Track track, const char* name, const char* category, absl::Time begin, absl::Time end,
            absl::Span<const Arg> args);

  std::atomic<bool> waiting_for_step_{false};
  std::atomic<bool> recording_{false};
  std::atomic<int32_t> writers_{0};  // threads inside Keep
  std::atomic<int64_t> claimed_{0};  // spans that asked for room
  // Change only while recording_ is false and nobody is inside Keep.
  std::unique_ptr<Span[]> spans_;
  int64_t capacity_ = 0;

  absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;
  bool interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t steps_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t complete_ ABSL_GUARDED_BY(mutex_) = 0;  // spans that were claimed when the last complete step ended
  int64_t max_steps_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<TrackInfo> tracks_ ABSL_GUARDED_BY(mutex_);
};

// Records its lifetime. `recorder` may be null: then nothing is recorded.
class Scope {
 public:
  Scope(Recorder* recorder, Track track, const char* name, const char* category, std::initializer_list<Arg> args)
      : recorder_(recorder != nullptr && recorder->recording() ? recorder : nullptr) {
    if (recorder_ != nullptr) {
      track_ = track;
      name_ = name;
      category_ = category;
      for (const Arg& arg : args) {
        AddArg(arg);
      }
      begin_ = absl::Now();
    }
  }
  Scope(const Scope&) = delete;
  ~Scope() {
    if (recorder_ != nullptr) {
      Finish();
    }
  }

  // For what is known only later. At most kMaxArgs; more are left out.
  void AddArg(const Arg& arg) {
    if (recorder_ != nullptr && num_args_ < kMaxArgs) {
      args_[num_args_++] = arg;
    }
  }

 private:
  void Finish();

  Recorder* const recorder_;
  Track track_ = 0;
  const char* name_ = "";
  const char* category_ = "";
  absl::Time begin_;
  int num_args_ = 0;
  Arg args_[kMaxArgs];
};

// A step: a span that a recording may begin and end with. Null recorders are fine.
class StepScope {
 public:
  StepScope(Recorder* recorder, Track track) : recorder_(recorder) {
    if (recorder_ != nullptr) {
      recorder_->BeginStep();
    }
    span_.emplace(recorder_, track, "step", "", std::initializer_list<Arg>{});
  }
  StepScope(const StepScope&) = delete;
  ~StepScope() {
    span_.reset();
    if (recorder_ != nullptr) {
      recorder_->EndStep();
    }
  }

  Scope& span() { return *span_; }

 private:
  Recorder* const recorder_;
  std::optional<Scope> span_;
};

}  // namespace tandem::trace

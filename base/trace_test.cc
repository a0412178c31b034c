#include "base/trace.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "base/trace_json.h"

namespace tandem::trace {
namespace {

using nlohmann::json;

absl::Time At(int64_t microseconds) { return absl::UnixEpoch() + absl::Microseconds(microseconds); }

// Starts recording right away.
void Begin(Recorder& recorder, Limits limits = {}) {
  ASSERT_TRUE(recorder.Start(limits).ok());
  recorder.BeginStep();
}

Recording End(Recorder& recorder) {
  recorder.EndStep();
  return recorder.Stop();
}

// The complete events of a trace.
std::vector<json> Events(const json& trace) {
  std::vector<json> events;
  for (const json& event : trace["traceEvents"]) {
    if (event["ph"] == "X") {
      events.push_back(event);
    }
  }
  return events;
}

// Names of the rows by id.
std::map<int, std::string> Rows(const json& trace) {
  std::map<int, std::string> rows;
  for (const json& event : trace["traceEvents"]) {
    if (event["name"] == "thread_name") {
      rows[event["tid"]] = event["args"]["name"];
    }
  }
  return rows;
}

TEST(RecorderTest, KeepsNothingUnlessAskedTo) {
  Recorder recorder;
  const Track track = recorder.AddTrack("a");
  recorder.BeginStep();
  recorder.Add(track, "early", "", At(0), At(1), {});
  { const Scope scope(&recorder, track, "early", "", {}); }
  recorder.EndStep();
  Begin(recorder);
  EXPECT_EQ(End(recorder).num_spans, 0);
  recorder.Add(track, "late", "", At(0), At(1), {});
  Begin(recorder);
  EXPECT_EQ(End(recorder).num_spans, 0);
}

TEST(RecorderTest, ANullRecorderIsFine) {
  StepScope step(nullptr, 0);
  Scope scope(nullptr, 0, "x", "", {{"layer", 1}});
  scope.AddArg({"more", 2});
  step.span().AddArg({"more", 2});
}

TEST(RecorderTest, BeginsAndEndsWithSteps) {
  Recorder recorder;
  const Track track = recorder.AddTrack("engine");
  ASSERT_TRUE(recorder.Start({.steps = 2}).ok());
  recorder.Add(track, "in the middle of a step", "", At(0), At(1), {});
  recorder.EndStep();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(recorder.AwaitSteps(absl::InfinitePast()), i == 2);
    const StepScope step(&recorder, track);
    const Scope inside(&recorder, track, "work", "", {{"step", i}});
  }
  const Recording recording = recorder.Stop();
  EXPECT_EQ(recording.steps, 2);
  std::vector<std::string> names;
  for (const Span& span : recording.spans()) {
    names.emplace_back(span.name);
  }
  EXPECT_THAT(names, testing::ElementsAre("work", "step", "work", "step"));
}

TEST(RecorderTest, LeavesOutAStepThatDidNotEnd) {
  Recorder recorder;
  const Track track = recorder.AddTrack("engine");
  ASSERT_TRUE(recorder.Start({}).ok());
  { const StepScope step(&recorder, track); }
  const StepScope step(&recorder, track);
  recorder.Add(track, "half", "", At(0), At(1), {});
  const Recording recording = recorder.Stop();
  EXPECT_EQ(recording.steps, 1);
  ASSERT_EQ(recording.num_spans, 1);
  EXPECT_STREQ(recording.spans()[0].name, "step");
}

TEST(RecorderTest, OneRecordingAtATime) {
  Recorder recorder;
  ASSERT_TRUE(recorder.Start({}).ok());
  EXPECT_EQ(recorder.Start({}).code(), absl::StatusCode::kResourceExhausted);
  recorder.Stop();
  EXPECT_TRUE(recorder.Start({}).ok());
}

TEST(RecorderTest, AnInterruptEndsTheWait) {
  Recorder recorder;
  ASSERT_TRUE(recorder.Start({.steps = 1}).ok());
  std::thread interrupter([&] { recorder.Interrupt(); });
  EXPECT_FALSE(recorder.AwaitSteps(absl::InfiniteFuture()));
  interrupter.join();
}

TEST(RecorderTest, CountsWhatFindsNoRoom) {
  Recorder recorder;
  const Track track = recorder.AddTrack("a");
  Begin(recorder, {.spans = 3});
  for (int i = 0; i < 5; ++i) {
    recorder.Add(track, "x", "", At(i), At(i + 1), {{"i", i}});
  }
  const Recording recording = End(recorder);
  EXPECT_EQ(recording.num_spans, 3);
  EXPECT_EQ(recording.dropped_spans, 2);
  EXPECT_EQ(recording.spans()[2].args[0].value, 2);
  EXPECT_EQ(json::parse(ToJson(recording, "p"))["otherData"]["dropped_spans"], 2);
}

// Recordings begin and end while threads write: every span that is kept is whole, and none is kept twice.
TEST(RecorderTest, ThreadsWriteWhileRecordingsComeAndGo) {
  constexpr int kThreads = 3;
  Recorder recorder;
  const Track track = recorder.AddTrack("a");
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int thread = 0; thread < kThreads; ++thread) {
    writers.emplace_back([&, thread] {
      for (int64_t i = 0; !stop; ++i) {
        recorder.Add(track, "x", "", At(i), At(i + thread), {{"thread", thread}, {"i", i}});
      }
    });
  }
  int64_t kept = 0;
  for (int round = 0; round < 50 || kept == 0; ++round) {
    Begin(recorder, {.spans = 500});
    const Recording recording = End(recorder);
    std::set<std::pair<int64_t, int64_t>> seen;
    for (const Span& span : recording.spans()) {
      ASSERT_EQ(span.num_args, 2);
      ASSERT_EQ(span.end_ns - span.begin_ns, 1000 * span.args[0].value);
      ASSERT_EQ(span.begin_ns, 1000 * span.args[1].value);
      ASSERT_TRUE(seen.emplace(span.args[0].value, span.args[1].value).second);
    }
    kept += recording.num_spans;
  }
  stop = true;
  for (std::thread& writer : writers) {
    writer.join();
  }
}

TEST(TraceJsonTest, SpansAreEventsOnNamedRows) {
  Recorder recorder;
  const Track engine = recorder.AddTrack("Router");
  const Track odd = recorder.AddTrack("worker \"\\\n\x01\xff");
  EXPECT_EQ(recorder.AddTrack("Router"), engine);
  Begin(recorder);
  recorder.Add(odd, "compute", "", At(1002), At(1005), {});
  recorder.Add(engine, "attention", "decode", At(1000), At(1010), {{"layer", 3}, {"micro_batch", 1}});
  const json trace = json::parse(ToJson(End(recorder), "tandem"));
  const std::vector<json> events = Events(trace);
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(events[0]["name"], "decode attention");
  EXPECT_EQ(events[0]["cat"], "decode");
  EXPECT_EQ(events[0]["ts"], 0);
  EXPECT_EQ(events[0]["dur"], 10);
  EXPECT_EQ(events[0]["args"], json({{"layer", 3}, {"micro_batch", 1}}));
  EXPECT_EQ(events[1]["name"], "compute");
  EXPECT_EQ(events[1]["ts"], 2);
  const std::map<int, std::string> rows = Rows(trace);
  EXPECT_EQ(rows.at(events[0]["tid"]), "Router");
  EXPECT_THAT(rows.at(events[1]["tid"]), testing::StartsWith("worker \"\\\n\x01"));
}

TEST(TraceJsonTest, AnEmptyRecordingIsATrace) {
  Recorder recorder;
  ASSERT_TRUE(recorder.Start({}).ok());
  EXPECT_THAT(Events(json::parse(ToJson(recorder.Stop(), "p"))), testing::IsEmpty());
}

// Viewers draw a row as a stack: spans on it must nest.
TEST(TraceJsonTest, NoRowHasSpansThatCross) {
  std::mt19937 random(1);
  for (const TrackKind kind : {TrackKind::kNested, TrackKind::kParallel}) {
    Recorder recorder;
    const Track track = recorder.AddTrack("a", kind);
    Begin(recorder);
    for (int i = 0; i < 300; ++i) {
      const int64_t begin = random() % 1000;
      recorder.Add(track, "x", "", At(begin), At(begin + 1 + random() % 50), {});
    }
    const json trace = json::parse(ToJson(End(recorder), "p"));
    const std::vector<json> events = Events(trace);
    ASSERT_EQ(events.size(), 300);
    for (size_t a = 0; a < events.size(); ++a) {
      for (size_t b = 0; b < a; ++b) {
        if (events[a]["tid"] != events[b]["tid"]) continue;
        const double begin = events[a]["ts"];
        const double end = begin + events[a]["dur"].get<double>();
        const double other_begin = events[b]["ts"];
        const double other_end = other_begin + events[b]["dur"].get<double>();
        const bool apart = end <= other_begin || other_end <= begin;
        const bool nested = (other_begin <= begin && end <= other_end) || (begin <= other_begin && other_end <= end);
        EXPECT_TRUE(apart || (kind == TrackKind::kNested && nested)) << events[a] << events[b];
      }
    }
  }
}

}  // namespace
}  // namespace tandem::trace

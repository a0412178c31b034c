#include "router/debug_trace.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "router/testing/http_api_fixture.h"

namespace tandem::router {
namespace {

using testing::HasSubstr;

// The fake engine runs no steps: the test does.
class DebugTraceTest : public HttpApiTest {
 protected:
  void RunStepsUntil(const std::atomic<bool>& done) {
    const trace::Track track = recorder_.AddTrack("Router");
    while (!done) {
      const trace::StepScope step(&recorder_, track);
      const trace::Scope scope(&recorder_, track, "attention", "decode", {{"layer", 0}});
    }
  }
};

TEST_F(DebugTraceTest, AnswersWithTheNextSteps) {
  std::atomic<bool> done{false};
  std::thread engine([&] { RunStepsUntil(done); });
  const std::string response = Ask(http::Post("/debug/trace?steps=3", ""));
  done = true;
  engine.join();
  ASSERT_THAT(response, HasSubstr("200 OK"));
  const Json trace = Body(response);
  EXPECT_EQ(trace["otherData"]["steps"], 3);
  EXPECT_EQ(std::count_if(trace["traceEvents"].begin(), trace["traceEvents"].end(),
                          [](const Json& event) { return event["name"] == "decode attention"; }),
            3);
  // The next one may be refused for a moment.
  std::string again;
  do {
    again = Ask(http::Post("/debug/trace?timeout=1", ""));
  } while (absl::StrContains(again, "429"));
  EXPECT_THAT(again, HasSubstr("503"));
}

TEST_F(DebugTraceTest, NamesWrongParameters) {
  for (const char* wrong : {"0", "1001", "-1", "1.5", "x", "", "99999999999999999999"}) {
    EXPECT_EQ(ErrorOf(absl::StrCat("/debug/trace?steps=", wrong), ""), "400 invalid_value steps") << wrong;
  }
  EXPECT_EQ(ErrorOf("/debug/trace?timeout=301", ""), "400 invalid_value timeout");
}

TEST_F(DebugTraceTest, SaysWhenNothingRan) { EXPECT_EQ(ErrorOf("/debug/trace?timeout=1", ""), "503 no_steps "); }

TEST_F(DebugTraceTest, OneTraceAtATime) {
  ASSERT_TRUE(recorder_.Start({}).ok());
  const std::string response = Ask(http::Post("/debug/trace", ""));
  EXPECT_THAT(response, HasSubstr("429"));
  EXPECT_THAT(response, HasSubstr("Retry-After"));
  EXPECT_EQ(Body(response)["error"]["code"], "trace_running");
  recorder_.Stop();
}

TEST_F(DebugTraceTest, ShuttingDownEndsIt) {
  http::RawClient client(server_->port());
  client.Send(http::Post("/debug/trace?timeout=300", ""));
  while (!recorder_.recording()) {  // until the request has begun
    recorder_.BeginStep();
  }
  api_->Drain();
  EXPECT_THAT(client.ReadResponse(), HasSubstr("503"));
  EXPECT_EQ(ErrorOf("/debug/trace", ""), "503 shutting_down ");
}

TEST_F(DebugTraceTest, NeedsTheKey) {
  Start({"secret"});
  EXPECT_EQ(ErrorOf("/debug/trace", ""), "401 invalid_api_key ");
}

}  // namespace
}  // namespace tandem::router

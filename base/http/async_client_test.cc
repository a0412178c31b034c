#include "base/http/async_client.h"

#include <gmock/gmock.h>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "base/http/server.h"

namespace tandem::http {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

using Writer = std::shared_ptr<ResponseWriter>;

// What one request reported.
struct Outcome {
  std::vector<std::string> events;
  absl::StatusOr<ClientResponse> response = absl::UnknownError("not done");
  absl::Notification done;

  EventHandler Handler(size_t max_events = 1000) {
    return {.on_event =
                [this, max_events](absl::string_view data) {
                  events.emplace_back(data);
                  return events.size() < max_events;
                },
            .on_done =
                [this](absl::StatusOr<ClientResponse> result) {
                  response = std::move(result);
                  done.Notify();
                }};
  }
};

class AsyncClientTest : public testing::Test {
 protected:
  void SetUp() override {
    Router router;
    router.Add("POST", "/api/echo", [](Request request, Writer writer) {
      writer->Send({.status = 418, .body = absl::StrCat(request.Header("X-Key"), request.body), .headers = {}});
    });
    router.Add("POST", "/api/count", [](Request request, Writer writer) {
      writer->StartStream({.content_type = "text/event-stream; charset=utf-8", .headers = {}, .ping = ""});
      for (int i = 0; i < 3; ++i) writer->Write(absl::StrCat("data: ", request.body, i, "\n\n"));
      writer->End();
    });
    router.Add("POST", "/api/hold", [this](Request, Writer writer) {
      writer->OnClose([this] { gone_.Notify(); });
      writer->StartStream({.content_type = "text/event-stream", .headers = {}, .ping = ""});
      writer->Write("data: first\n\n");
      absl::MutexLock lock(&mutex_);
      held_ = writer;
    });
    auto server = Server::Start(ServerOptions(), std::move(router));
    ASSERT_TRUE(server.ok());
    server_ = *std::move(server);
  }

  void TearDown() override {
    absl::MutexLock lock(&mutex_);
    held_ = nullptr;
  }

  std::unique_ptr<AsyncClient> MakeClient(AsyncClientOptions options = {}) {
    auto client = AsyncClient::Create(absl::StrCat("http://localhost:", server_->port(), "/api"), std::move(options));
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  absl::Notification gone_;
  absl::Mutex mutex_;
  Writer held_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Server> server_;
};

TEST_F(AsyncClientTest, HandsOutTheEventsOfAStream) {
  Outcome outcome;
  auto client = MakeClient();
  client->PostForEvents("/count", "n", outcome.Handler());
  outcome.done.WaitForNotification();
  ASSERT_TRUE(outcome.response.ok()) << outcome.response.status();
  EXPECT_EQ(outcome.response->status, 200);
  EXPECT_THAT(outcome.events, ElementsAre("n0", "n1", "n2"));
}

TEST_F(AsyncClientTest, ReturnsTheBodyWhenTheAnswerIsNoStream) {
  Outcome outcome;
  auto client = MakeClient({.headers = {{"X-Key", "k"}}});
  const std::string large(3 << 20, 'x');
  client->PostForEvents("/echo", large, outcome.Handler());
  outcome.done.WaitForNotification();
  ASSERT_TRUE(outcome.response.ok()) << outcome.response.status();
  EXPECT_EQ(outcome.response->status, 418);
  EXPECT_EQ(outcome.response->body, "k" + large);
  EXPECT_TRUE(outcome.events.empty());
}

TEST_F(AsyncClientTest, RunsHundredsOfStreamsAtATime) {
  constexpr int kStreams = 400;
  auto client = MakeClient();
  absl::BlockingCounter left(kStreams);
  std::vector<int> events(kStreams, 0);
  std::vector<int> statuses(kStreams, 0);
  for (int i = 0; i < kStreams; ++i) {
    client->PostForEvents("/count", absl::StrCat(i, " "),
                          {.on_event =
                               [&, i](absl::string_view data) {
                                 events[i] += data == absl::StrCat(i, " ", events[i]);
                                 return true;
                               },
                           .on_done =
                               [&, i](absl::StatusOr<ClientResponse> response) {
                                 statuses[i] = response.ok() ? response->status : -1;
                                 left.DecrementCount();
                               }});
  }
  left.Wait();
  EXPECT_THAT(statuses, Each(200));
  EXPECT_THAT(events, Each(3));
}

TEST_F(AsyncClientTest, AnEventHandlerThatWantsNoMoreClosesTheConnection) {
  Outcome outcome;
  auto client = MakeClient();
  client->PostForEvents("/hold", "", outcome.Handler(/*max_events=*/1));
  outcome.done.WaitForNotification();
  EXPECT_TRUE(outcome.response.ok()) << outcome.response.status();
  gone_.WaitForNotification();
}

TEST_F(AsyncClientTest, DestroyingTheClientCancelsWhatRuns) {
  Outcome outcome;
  auto client = MakeClient();
  client->PostForEvents("/hold", "", outcome.Handler());
  client = nullptr;
  ASSERT_TRUE(outcome.done.HasBeenNotified());
  EXPECT_EQ(outcome.response.status().code(), absl::StatusCode::kCancelled);
}

TEST_F(AsyncClientTest, TimesOutOnASilentServer) {
  Outcome outcome;
  auto client = MakeClient({.timeout = absl::Milliseconds(50)});
  client->PostForEvents("/hold", "", outcome.Handler());
  outcome.done.WaitForNotification();
  EXPECT_EQ(outcome.response.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(AsyncClientTest, ExplainsWhenNobodyAnswers) {
  Outcome outcome;
  auto client = MakeClient();
  server_->Shutdown(absl::ZeroDuration());
  client->PostForEvents("/count", "", outcome.Handler());
  outcome.done.WaitForNotification();
  EXPECT_EQ(outcome.response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(outcome.response.status().message(), HasSubstr("is the server running?"));
}

TEST(AsyncClientUrlTest, RefusesBadUrls) {
  EXPECT_EQ(AsyncClient::Create("localhost:8000", {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AsyncClient::Create("https://x", {}).status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace tandem::http

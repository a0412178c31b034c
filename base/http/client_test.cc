#include "base/http/client.h"

#include <gmock/gmock.h>

#include "absl/synchronization/notification.h"
#include "base/http/server.h"

namespace tandem::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Writer = std::shared_ptr<ResponseWriter>;

std::vector<std::string> Parse(const std::vector<std::string>& pieces) {
  EventParser parser;
  std::vector<std::string> events;
  for (const std::string& piece : pieces) {
    parser.Push(piece, [&](absl::string_view data) {
      events.emplace_back(data);
      return true;
    });
  }
  return events;
}

TEST(EventParserTest, CutsEventsWhereverTheBytesAreCut) {
  EXPECT_THAT(Parse({"data: a\n\ndata:b\n\n"}), ElementsAre("a", "b"));
  EXPECT_THAT(Parse({"da", "ta: a", "\n", "\n"}), ElementsAre("a"));
  EXPECT_THAT(Parse({": ping\n\nid: 1\ndata: a\r\ndata: b\r\n\r\n\n\n"}), ElementsAre("a\nb"));
  EXPECT_THAT(Parse({"data: unfinished\n"}), ElementsAre());
  EXPECT_THAT(Parse({"data:\n\n"}), ElementsAre(""));
}

class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    Router router;
    router.Add("GET", "/api/hello", [](Request request, Writer writer) {
      writer->Send(
          {.content_type = "text/plain", .body = "key " + std::string(request.Header("X-Key")), .headers = {}});
    });
    router.Add("POST", "/api/echo", [](Request request, Writer writer) {
      writer->Send({.status = 418, .body = request.body, .headers = {}});
    });
    router.Add("POST", "/api/stream", [this](Request, Writer writer) {
      writer->OnClose([this] { gone_.Notify(); });
      writer->StartStream({.content_type = "text/event-stream; charset=utf-8", .headers = {}, .ping = ""});
      for (int i = 0; i < 3; ++i) writer->Write(absl::StrCat("data: ", i, "\n\n"));
      held_ = writer;
    });
    auto server = Server::Start(ServerOptions(), std::move(router));
    ASSERT_TRUE(server.ok());
    server_ = *std::move(server);
  }

  void TearDown() override { held_ = nullptr; }

  Client MakeClient() {
    auto client = Client::Create(absl::StrCat("http://127.0.0.1:", server_->port(), "/api/"));
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  absl::Notification gone_;
  Writer held_;
  std::unique_ptr<Server> server_;
};

TEST_F(ClientTest, GetsAndPosts) {
  Client client = MakeClient();
  client.AddHeader("X-Key", "k");
  const auto got = client.Get("/hello");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->status, 200);
  EXPECT_EQ(got->body, "key k");
  const std::string large(3 << 20, 'x');
  const auto posted = client.PostJson("/echo", large);
  ASSERT_TRUE(posted.ok()) << posted.status();
  EXPECT_EQ(posted->status, 418);
  EXPECT_EQ(posted->body, large);
}

TEST_F(ClientTest, StreamsEventsUntilToldToStop) {
  Client client = MakeClient();
  std::vector<std::string> events;
  const auto response = client.PostForEvents("/stream", "{}", [&](absl::string_view data) {
    events.emplace_back(data);
    return events.size() < 3;
  });
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_THAT(events, ElementsAre("0", "1", "2"));
  gone_.WaitForNotification();
}

TEST_F(ClientTest, ReturnsTheBodyWhenTheAnswerIsNoStream) {
  const auto response = MakeClient().PostForEvents("/echo", "{\"error\":1}", [](absl::string_view) { return true; });
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->body, "{\"error\":1}");
}

TEST_F(ClientTest, TimesOutOnASilentServer) {
  Client client = MakeClient();
  client.SetTimeout(absl::Milliseconds(50));
  const auto response = client.PostForEvents("/stream", "{}", [](absl::string_view) { return true; });
  EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ClientTest, ExplainsWhenNobodyAnswers) {
  Client client = MakeClient();
  server_->Shutdown(absl::ZeroDuration());
  const auto response = client.Get("/hello");
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(response.status().message(), HasSubstr("is the server running?"));
}

TEST(ClientUrlTest, RefusesBadUrls) {
  for (const char* url : {"localhost:8000", "http://", "http://:80", "http://host:port", "ftp://x"}) {
    EXPECT_EQ(Client::Create(url).status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
  EXPECT_EQ(Client::Create("https://x").status().code(), absl::StatusCode::kUnimplemented);
  for (const char* url : {"http://x", "http://x:8000/v1", "http://[::1]:8000"}) {
    EXPECT_TRUE(Client::Create(url).ok()) << url;
  }
}

}  // namespace
}  // namespace tandem::http

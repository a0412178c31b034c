#include "base/http/server.h"

#include <gmock/gmock.h>

#include "absl/synchronization/notification.h"
#include "base/http/testing.h"

namespace tandem::http {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Hands the test the writer of a request, so that it can answer when it likes.
struct Held {
  absl::Mutex mu;
  std::shared_ptr<ResponseWriter> writer;

  std::shared_ptr<ResponseWriter> Await() {
    absl::MutexLock lock(&mu);
    mu.Await(absl::Condition(
        +[](Held* h) { return h->writer != nullptr; }, this));
    return std::move(writer);
  }
};

class ServerTest : public testing::Test {
 protected:
  void Start(const std::function<void(ServerOptions&)>& adjust = [](ServerOptions&) {}) {
    ServerOptions options;
    adjust(options);
    Router router;
    router.Add("GET", "/hello", [](Request request, std::shared_ptr<ResponseWriter> writer) {
      writer->Send({.status = 200,
                    .content_type = "text/plain",
                    .body = "hi " + request.QueryParam("who").value_or("you"),
                    .headers = {}});
    });
    router.Add("POST", "/echo", [](Request request, std::shared_ptr<ResponseWriter> writer) {
      writer->Send({.status = 200, .content_type = "text/plain", .body = request.body, .headers = {}});
    });
    router.Add("GET", "/things/{id}/parts", [](Request request, std::shared_ptr<ResponseWriter> writer) {
      writer->Send(
          {.status = 200, .content_type = "text/plain", .body = "parts of " + request.params["id"], .headers = {}});
    });
    router.Add("GET", "/files/{path*}", [](Request request, std::shared_ptr<ResponseWriter> writer) {
      writer->Send(
          {.status = 200, .content_type = "text/plain", .body = "file " + request.params["path"], .headers = {}});
    });
    router.Add("GET", "/held", [this](Request, std::shared_ptr<ResponseWriter> writer) {
      absl::MutexLock lock(&held_.mu);
      held_.writer = std::move(writer);
    });
    router.Add("GET", "/dropped", [](Request, std::shared_ptr<ResponseWriter>) {});
    options.on_finished = [this](const RequestSummary& summary) {
      absl::MutexLock lock(&log_mu_);
      log_.push_back(absl::StrCat(summary.method, " ", summary.route, " ", summary.status));
    };
    auto server = Server::Start(std::move(options), std::move(router));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string Ask(absl::string_view request) {
    RawClient client(server_->port());
    client.Send(request);
    return client.ReadResponse();
  }

  void AwaitLog(const std::string& line) {
    absl::MutexLock lock(&log_mu_);
    auto seen = [&] { return std::find(log_.begin(), log_.end(), line) != log_.end(); };
    EXPECT_TRUE(log_mu_.AwaitWithTimeout(absl::Condition(&seen), absl::Seconds(20))) << line;
  }

  Held held_;
  absl::Mutex log_mu_;
  std::vector<std::string> log_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersWithLengthIdAndKeepsTheConnection) {
  Start();
  RawClient client(server_->port());
  client.Send(Get("/hello?who=t%C3%B6m", "X-Request-Id: abc-1\r\n"));
  const std::string first = client.ReadResponse();
  EXPECT_THAT(first, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(first, HasSubstr("X-Request-Id: abc-1\r\n"));
  EXPECT_THAT(first, HasSubstr("\r\n\r\nhi töm"));
  client.Send(Post("/echo", "second"));
  EXPECT_THAT(client.ReadResponse(), HasSubstr("\r\n\r\nsecond"));
  AwaitLog("POST /echo 200");
}

TEST_F(ServerTest, GeneratesARequestIdAndIgnoresUnsafeOnes) {
  Start();
  EXPECT_THAT(Ask(Get("/hello")), testing::ContainsRegex("X-Request-Id: [0-9a-f]{32}\r\n"));
  EXPECT_THAT(Ask(Get("/hello", absl::StrCat("X-Request-Id: ", std::string(200, 'x'), "\r\n"))),
              testing::ContainsRegex("X-Request-Id: [0-9a-f]{32}\r\n"));
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  Start();
  RawClient client(server_->port());
  client.Send(absl::StrCat(Get("/held"), Post("/echo", "two"), Get("/hello?who=three")));
  held_.Await()->Send({.status = 200, .content_type = "text/plain", .body = "one", .headers = {}});
  EXPECT_THAT(client.ReadResponse(), HasSubstr("\r\n\r\none"));
  EXPECT_THAT(client.ReadResponse(), HasSubstr("\r\n\r\ntwo"));
  EXPECT_THAT(client.ReadResponse(), HasSubstr("\r\n\r\nhi three"));
}

TEST_F(ServerTest, MatchesPatterns) {
  Start();
  EXPECT_THAT(Ask(Get("/things/a%2Fb/parts")), HasSubstr("parts of a/b"));
  EXPECT_THAT(Ask(Get("/files/x/y.txt")), HasSubstr("file x/y.txt"));
  EXPECT_THAT(Ask(Get("/files/")), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Ask(Get("/things/7/wholes")), StartsWith("HTTP/1.1 404"));
  const std::string wrong_method = Ask(Post("/hello", ""));
  EXPECT_THAT(wrong_method, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(wrong_method, HasSubstr("Allow: GET\r\n"));
}

TEST_F(ServerTest, HeadHasNoBody) {
  Start();
  RawClient client(server_->port());
  client.Send("HEAD /hello HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("Content-Length: 6\r\n"));
  client.Send(Get("/hello"));
  EXPECT_THAT(client.ReadResponse(), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, SendsContinueBeforeTheBody) {
  Start();
  RawClient client(server_->port());
  client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("body");
  EXPECT_THAT(client.ReadResponse(), HasSubstr("\r\n\r\nbody"));
}

TEST_F(ServerTest, AcceptsChunkedBodies) {
  Start();
  EXPECT_THAT(
      Ask("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
      HasSubstr("\r\n\r\nabcde"));
}

TEST_F(ServerTest, RefusesWhatIsTooLarge) {
  Start([](ServerOptions& o) {
    o.max_header_bytes = 1024;
    o.max_body_bytes = 1000;
  });
  EXPECT_THAT(Ask(Post("/echo", std::string(1001, 'x'))), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(Ask(Post("/echo", std::string(4 << 20, 'x'))), StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(Ask(Post("/echo", std::string(1000, 'x'))), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(Get("/hello", absl::StrCat("X-Long: ", std::string(2000, 'x'), "\r\n"))), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Ask("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n"),
              StartsWith("HTTP/1.1 413"));
}

TEST_F(ServerTest, RefusesMalformedRequestsAndCloses) {
  Start();
  for (const char* bad :
       {"nonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /hello HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"}) {
    RawClient client(server_->port());
    client.Send(bad);
    EXPECT_THAT(client.ReadToEnd(), StartsWith("HTTP/1.1 400")) << bad;
  }
  EXPECT_THAT(Ask(Get("/hello")), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, SlowSendersGet408) {
  Start([](ServerOptions& o) {
    o.header_timeout = absl::Milliseconds(30);
    o.body_timeout = absl::Milliseconds(30);
  });
  RawClient header(server_->port());
  header.Send("GET /hello HT");
  EXPECT_THAT(header.ReadToEnd(), StartsWith("HTTP/1.1 408"));
  RawClient body(server_->port());
  body.Send("POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_THAT(body.ReadToEnd(), StartsWith("HTTP/1.1 408"));
}

TEST_F(ServerTest, ClosesIdleConnections) {
  Start([](ServerOptions& o) { o.idle_timeout = absl::Milliseconds(20); });
  RawClient client(server_->port());
  client.Send(Get("/hello"));
  EXPECT_THAT(client.ReadToEnd(), HasSubstr("hi you"));
}

TEST_F(ServerTest, DroppedRequestsGet500) {
  Start();
  EXPECT_THAT(Ask(Get("/dropped")), StartsWith("HTTP/1.1 500"));
}

TEST_F(ServerTest, StreamsChunksAndPingsWhileSilent) {
  Start();
  RawClient client(server_->port());
  client.Send(Get("/held"));
  auto writer = held_.Await();
  writer->StartStream({.status = 200,
                       .content_type = "text/event-stream",
                       .headers = {},
                       .ping_interval = absl::Milliseconds(10),
                       .ping = ": ping\n\n"});
  EXPECT_THAT(client.ReadUntil("\r\n\r\n"), HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_TRUE(writer->Write("data: 1\n\n"));
  EXPECT_THAT(client.ReadUntil("data: 1\n\n"), HasSubstr("9\r\ndata: 1\n\n"));
  client.ReadUntil(": ping\n\n");
  client.ReadUntil(": ping\n\n");
  writer->Write("bye");
  writer->End();
  EXPECT_FALSE(writer->Write("late"));
  EXPECT_THAT(client.ReadUntil("0\r\n\r\n"), Not(HasSubstr("late")));
  client.Send(Get("/hello"));
  EXPECT_THAT(client.ReadResponse(), HasSubstr("hi you"));
}

TEST_F(ServerTest, Http10StreamsEndWithTheConnection) {
  Start();
  RawClient client(server_->port());
  client.Send("GET /held HTTP/1.0\r\n\r\n");
  auto writer = held_.Await();
  writer->StartStream({.status = 200, .content_type = "text/plain", .headers = {}, .ping = ""});
  writer->Write("abc");
  writer->End();
  const std::string all = client.ReadToEnd();
  EXPECT_THAT(all, testing::EndsWith("\r\n\r\nabc"));
  EXPECT_THAT(all, Not(HasSubstr("chunked")));
}

TEST_F(ServerTest, NoticesAClientThatLeavesASilentStream) {
  Start();
  RawClient client(server_->port());
  client.Send(Get("/held"));
  auto writer = held_.Await();
  absl::Notification gone;
  writer->OnClose([&] { gone.Notify(); });
  writer->StartStream({.status = 200, .content_type = "text/event-stream", .headers = {}, .ping = ""});
  client.ReadUntil("\r\n\r\n");
  client.Close();
  gone.WaitForNotification();
  EXPECT_FALSE(writer->Write("x"));
  AwaitLog("GET /held 499");
}

TEST_F(ServerTest, OnCloseRunsAtOnceWhenTheClientIsGoneAlreadyAndNeverAfterAnAnswer) {
  Start();
  RawClient client(server_->port());
  client.Send(Get("/held"));
  auto writer = held_.Await();
  client.Close();
  AwaitLog("GET /held 499");
  absl::Notification gone;
  writer->OnClose([&] { gone.Notify(); });
  EXPECT_TRUE(gone.HasBeenNotified());

  RawClient other(server_->port());
  other.Send(Get("/held"));
  writer = held_.Await();
  writer->OnClose([] { ADD_FAILURE() << "the response was complete"; });
  writer->Send({.status = 204, .body = "", .headers = {}});
  EXPECT_THAT(other.ReadResponse(), StartsWith("HTTP/1.1 204"));
  AwaitLog("GET /held 204");
}

TEST_F(ServerTest, CutsAClientThatDoesNotRead) {
  Start([](ServerOptions& o) { o.max_write_queue_bytes = 1 << 20; });
  RawClient client(server_->port());
  client.Send(Get("/held"));
  auto writer = held_.Await();
  absl::Notification gone;
  writer->OnClose([&] { gone.Notify(); });
  writer->StartStream({.status = 200, .content_type = "text/event-stream", .headers = {}, .ping = ""});
  const std::string block(64 << 10, 'x');
  int written = 0;
  while (writer->Write(block)) {
    ASSERT_LT(++written, 10000) << "the queue is not bounded";
  }
  gone.WaitForNotification();
}

TEST_F(ServerTest, WriteTimeoutCutsAStalledClient) {
  Start([](ServerOptions& o) {
    o.max_write_queue_bytes = 256 << 20;
    o.write_timeout = absl::Milliseconds(50);
  });
  RawClient client(server_->port());
  client.Send(Get("/held"));
  auto writer = held_.Await();
  absl::Notification gone;
  writer->OnClose([&] { gone.Notify(); });
  writer->StartStream({.status = 200, .content_type = "text/event-stream", .headers = {}, .ping = ""});
  writer->Write(std::string(64 << 20, 'x'));
  gone.WaitForNotification();
}

TEST_F(ServerTest, RefusesConnectionsBeyondTheLimit) {
  Start([](ServerOptions& o) { o.max_connections = 1; });
  RawClient first(server_->port());
  first.Send(Get("/hello"));
  first.ReadResponse();
  RawClient second(server_->port());
  EXPECT_THAT(second.ReadToEnd(), StartsWith("HTTP/1.1 503"));
}

TEST_F(ServerTest, ShutdownLetsRunningRequestsFinish) {
  Start();
  RawClient idle(server_->port());
  idle.Send(Get("/hello"));
  idle.ReadResponse();
  RawClient busy(server_->port());
  busy.Send(Get("/held"));
  auto writer = held_.Await();
  bool clean = false;
  std::thread stopper([&] { clean = server_->Shutdown(absl::Seconds(20)); });
  EXPECT_EQ(idle.ReadToEnd(), "");
  writer->Send({.status = 200, .content_type = "text/plain", .body = "done", .headers = {}});
  const std::string answer = busy.ReadToEnd();
  EXPECT_THAT(answer, HasSubstr("done"));
  busy.Close();
  stopper.join();
  EXPECT_TRUE(clean);
}

TEST_F(ServerTest, ShutdownCutsWhatIsLeftAtTheDeadline) {
  Start();
  RawClient busy(server_->port());
  busy.Send(Get("/held"));
  auto writer = held_.Await();
  absl::Notification gone;
  writer->OnClose([&] { gone.Notify(); });
  EXPECT_FALSE(server_->Shutdown(absl::ZeroDuration()));
  EXPECT_TRUE(gone.HasBeenNotified());
  server_.reset();
  EXPECT_FALSE(writer->Write("after the server is gone"));
}

// For the sanitizers: the server may be gone before the call that sent the last answer returns.
TEST_F(ServerTest, TheServerMayEndWhileAnotherThreadIsStillSending) {
  for (int round = 0; round < 50; ++round) {
    Start();
    RawClient client(server_->port());
    client.Send(Get("/held", "Connection: close\r\n"));
    std::thread sender([writer = held_.Await()] { writer->Send({.status = 204, .body = "", .headers = {}}); });
    client.ReadToEnd();
    client.Close();
    server_ = nullptr;
    sender.join();
  }
}

TEST_F(ServerTest, ManyStreamsOnTwoThreadsKeepTheirOrder) {
  Start([](ServerOptions& o) { o.threads = 2; });
  std::vector<std::unique_ptr<RawClient>> clients;
  std::vector<std::thread> writers;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RawClient>(server_->port()));
    clients.back()->Send(Get("/held"));
    writers.emplace_back([writer = held_.Await(), i] {
      writer->StartStream({.status = 200, .content_type = "text/plain", .headers = {}, .ping = ""});
      for (int k = 0; k < 500; ++k) {
        writer->Write(absl::StrCat(i, ":", k, "\n"));
      }
      writer->End();
    });
  }
  for (int i = 0; i < 20; ++i) {
    clients[i]->ReadUntil("\r\n\r\n");
    const std::string body = clients[i]->ReadUntil("0\r\n\r\n");
    size_t at = 0;
    for (int k = 0; k < 500; ++k) {
      at = body.find(absl::StrCat(i, ":", k, "\n"), at);
      ASSERT_NE(at, std::string::npos) << i << " " << k;
    }
  }
  for (std::thread& thread : writers) {
    thread.join();
  }
}

TEST(ServerStartTest, ExplainsWhyItCannotListen) {
  ServerOptions options;
  options.host = "not an address";
  EXPECT_THAT(Server::Start(options, Router()).status().message(), HasSubstr("numeric address"));
  options.host = "127.0.0.1";
  auto first = Server::Start(options, Router());
  ASSERT_TRUE(first.ok());
  options.port = (*first)->port();
  const auto second = Server::Start(options, Router());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tandem::http

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/http/server.h"
#include "cli/load/target.h"

namespace tandem::cli {
namespace {

using testing::HasSubstr;
using Json = nlohmann::ordered_json;
using Writer = std::shared_ptr<http::ResponseWriter>;

constexpr char kModels[] = R"({"data":[{"id":"m","meta":{"n_vocab":77}},{"id":"other"}]})";

// A server whose completions endpoints answer with the given events and remember what was asked.
class HttpTargetTest : public testing::Test {
 protected:
  void SetUp() override {
    http::Router router;
    router.Add("GET", "/v1/models",
               [](http::Request, Writer writer) { writer->Send({.body = kModels, .headers = {}}); });
    for (const char* path : {"/v1/completions", "/v1/chat/completions"}) {
      router.Add("POST", path, [this](http::Request request, Writer writer) {
        absl::MutexLock lock(&mutex_);
        path_ = request.path;
        asked_ = Json::parse(request.body);
        authorization_ = std::string(request.Header("Authorization"));
        if (status_ != 200) {
          writer->Send({.status = status_, .body = "{}", .headers = {}});
          return;
        }
        writer->StartStream({.content_type = "text/event-stream", .headers = {}, .ping = ""});
        for (const std::string& event : events_) writer->Write(absl::StrCat("data: ", event, "\n\n"));
        writer->End();
      });
    }
    auto server = http::Server::Start(http::ServerOptions(), std::move(router));
    ASSERT_TRUE(server.ok());
    server_ = *std::move(server);
    options_.url = absl::StrCat("http://127.0.0.1:", server_->port());
  }

  void Answer(std::vector<std::string> events, int status = 200) {
    absl::MutexLock lock(&mutex_);
    events_ = std::move(events);
    status_ = status;
  }

  Json asked() {
    absl::MutexLock lock(&mutex_);
    return asked_;
  }
  std::string path() {
    absl::MutexLock lock(&mutex_);
    return path_;
  }
  std::string authorization() {
    absl::MutexLock lock(&mutex_);
    return authorization_;
  }

  RequestRecord Send(const LoadRequest& request) {
    auto target = ConnectHttpTarget(options_);
    EXPECT_TRUE(target.ok()) << target.status();
    RequestRecord record;
    absl::Notification done;
    (*target)->Send(request, std::make_shared<RequestMeter>(
                                 absl::Now(), [](int64_t) {},
                                 [&](RequestRecord result) {
                                   record = std::move(result);
                                   done.Notify();
                                 }));
    done.WaitForNotification();
    return record;
  }

  TargetOptions options_;

 private:
  absl::Mutex mutex_;
  int status_ ABSL_GUARDED_BY(mutex_) = 200;
  std::vector<std::string> events_ ABSL_GUARDED_BY(mutex_);
  std::string path_ ABSL_GUARDED_BY(mutex_);
  Json asked_ ABSL_GUARDED_BY(mutex_);
  std::string authorization_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<http::Server> server_;
};

std::string Delta(absl::string_view content, int tokens) {
  return absl::StrCat(R"({"choices":[{"delta":{"content":")", content,
                      R"("},"finish_reason":null}],"usage":{"prompt_tokens":4,"completion_tokens":)", tokens, "}}");
}

constexpr char kRole[] = R"({"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]})";
constexpr char kEnd[] = R"({"choices":[{"delta":{},"finish_reason":"stop"}]})";
constexpr char kUsage[] = R"({"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":6}})";

TEST_F(HttpTargetTest, CountsTokensByTheServersUsage) {
  Answer({kRole, Delta("a", 1), Delta("b", 4), Delta("", 5), kEnd, kUsage, "[DONE]"});
  const RequestRecord record = Send({.prompt = ChatMessages{Json::array()}});
  EXPECT_EQ(record.error, "");
  EXPECT_EQ(record.input_tokens, 4);
  EXPECT_EQ(record.output_tokens, 6);
  EXPECT_EQ(record.gaps_ms.size(), 2) << "the role brings no token, a held back piece does";
  EXPECT_LE(record.scheduled, record.sent);
  EXPECT_LE(record.sent, record.first_output);
  EXPECT_LE(record.first_output, record.end);
}

TEST_F(HttpTargetTest, CountsPiecesWhereTheServerDoesNotCount) {
  Answer({R"({"choices":[{"text":"a","finish_reason":null}]})",
          R"({"choices":[{"text":"b","finish_reason":null}],"usage":null})",
          R"({"choices":[{"text":"","finish_reason":"length"}]})", "[DONE]"});
  const RequestRecord record = Send({.prompt = TextPrompt("x")});
  EXPECT_EQ(record.error, "");
  EXPECT_EQ(record.output_tokens, 2);
}

TEST_F(HttpTargetTest, AsksWhatTheRequestSays) {
  options_.api_key = "key";
  options_.temperature = 0.5;
  options_.sampling_seed = 3;
  Answer({Delta("a", 1), kEnd, "[DONE]"});
  Send({.prompt = TokenPrompt{1, 2}, .max_tokens = 8, .ignore_eos = true});
  EXPECT_EQ(path(), "/v1/completions");
  EXPECT_EQ(asked()["prompt"], Json({1, 2}));
  EXPECT_EQ(asked()["model"], "m");
  EXPECT_EQ(asked()["max_tokens"], 8);
  EXPECT_EQ(asked()["ignore_eos"], true);
  EXPECT_EQ(asked()["temperature"], 0.5);
  EXPECT_EQ(asked()["seed"], 3);
  EXPECT_EQ(asked()["stream"], true);
  EXPECT_EQ(authorization(), "Bearer key");
  Send({.prompt = ChatMessages{Json::array({{{"role", "user"}, {"content", "hi"}}})}});
  EXPECT_EQ(path(), "/v1/chat/completions");
  EXPECT_EQ(asked()["messages"][0]["content"], "hi");
  EXPECT_FALSE(asked().contains("max_tokens"));
}

TEST_F(HttpTargetTest, NamesWhatWentWrong) {
  const LoadRequest request = {.prompt = TextPrompt("x")};
  Answer({}, 429);
  EXPECT_EQ(Send(request).error, "429");
  Answer({Delta("a", 1), R"({"error":{"message":"gone","type":"server_error","code":"worker_failed"}})", "[DONE]"});
  EXPECT_EQ(Send(request).error, "worker_failed");
  Answer({Delta("a", 1), kEnd});
  EXPECT_EQ(Send(request).error, "incomplete") << "no [DONE]";
  Answer({Delta("a", 1), "[DONE]"});
  EXPECT_EQ(Send(request).error, "incomplete") << "no finish_reason";
  Answer({"{"});
  EXPECT_EQ(Send(request).error, "bad_event");
}

TEST_F(HttpTargetTest, KnowsTheServersModel) {
  const auto first = ConnectHttpTarget(options_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->model().name, "m");
  EXPECT_EQ((*first)->model().vocab_size, 77);
  options_.model = "other";
  const auto other = ConnectHttpTarget(options_);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ((*other)->model().vocab_size, 0);
  options_.model = "absent";
  EXPECT_EQ(ConnectHttpTarget(options_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tandem::cli

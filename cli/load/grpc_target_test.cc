#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "cli/load/target.h"
#include "tandem/chat/v1/chat_service.grpc.pb.h"

namespace tandem::cli {
namespace {

using chat::v1::ChatStreamRequest;
using chat::v1::ChatStreamResponse;
using chat::v1::CompleteStreamRequest;
using chat::v1::CompleteStreamResponse;

CompleteStreamResponse Piece(const std::string& text, int total_tokens,
                             chat::v1::FinishReason finish = chat::v1::FINISH_REASON_UNSPECIFIED) {
  CompleteStreamResponse piece;
  piece.set_text(text);
  piece.add_token_ids(1);
  piece.set_finish_reason(finish);
  piece.mutable_usage()->set_prompt_tokens(4);
  piece.mutable_usage()->set_completion_tokens(total_tokens);
  return piece;
}

// Sends the given pieces, then waits for the client to leave if it is told to, then ends with the given status.
class FakeChatService final : public chat::v1::ChatService::Service {
 public:
  void Answer(std::vector<CompleteStreamResponse> pieces, grpc::Status status = grpc::Status::OK, bool hold = false) {
    absl::MutexLock lock(&mutex_);
    pieces_ = std::move(pieces);
    status_ = std::move(status);
    hold_ = hold;
  }
  CompleteStreamRequest completion_asked() {
    absl::MutexLock lock(&mutex_);
    return completion_asked_;
  }
  ChatStreamRequest chat_asked() {
    absl::MutexLock lock(&mutex_);
    return chat_asked_;
  }
  absl::Notification& cancelled() { return cancelled_; }

 private:
  grpc::Status ListModels(grpc::ServerContext*, const chat::v1::ListModelsRequest*,
                          chat::v1::ListModelsResponse* response) override {
    response->add_models()->set_id("m");
    return grpc::Status::OK;
  }

  grpc::Status CompleteStream(grpc::ServerContext* context, const CompleteStreamRequest* request,
                              grpc::ServerWriter<CompleteStreamResponse>* writer) override {
    std::vector<CompleteStreamResponse> pieces;
    {
      absl::MutexLock lock(&mutex_);
      completion_asked_ = *request;
      pieces = pieces_;
    }
    for (const CompleteStreamResponse& piece : pieces) {
      writer->Write(piece);
    }
    bool hold;
    {
      absl::MutexLock lock(&mutex_);
      hold = hold_;
    }
    // Writing fails once the client has cancelled; flow control makes it wait, not spin.
    while (hold && !context->IsCancelled() && writer->Write(Piece(std::string(1 << 16, 'x'), 9))) {
    }
    if (hold) {
      cancelled_.Notify();
    }
    absl::MutexLock lock(&mutex_);
    return status_;
  }

  grpc::Status ChatStream(grpc::ServerContext*, const ChatStreamRequest* request,
                          grpc::ServerWriter<ChatStreamResponse>* writer) override {
    absl::MutexLock lock(&mutex_);
    chat_asked_ = *request;
    ChatStreamResponse piece;
    piece.set_text("hello");
    piece.set_finish_reason(chat::v1::FINISH_REASON_STOP);
    piece.mutable_usage()->set_completion_tokens(2);
    writer->Write(piece);
    return grpc::Status::OK;
  }

  absl::Mutex mutex_;
  std::vector<CompleteStreamResponse> pieces_ ABSL_GUARDED_BY(mutex_);
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
  bool hold_ ABSL_GUARDED_BY(mutex_) = false;
  CompleteStreamRequest completion_asked_ ABSL_GUARDED_BY(mutex_);
  ChatStreamRequest chat_asked_ ABSL_GUARDED_BY(mutex_);
  absl::Notification cancelled_;
};

class GrpcTargetTest : public testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    options_.url = absl::StrCat("127.0.0.1:", port);
  }

  // What a request's meter says in the end.
  struct Outcome {
    RequestRecord record;
    absl::Notification first_output;
    absl::Notification done;
  };

  static std::shared_ptr<RequestMeter> MeterOf(Outcome& outcome) {
    return std::make_shared<RequestMeter>(
        absl::Now(),
        [&outcome](int64_t) {
          if (!outcome.first_output.HasBeenNotified()) outcome.first_output.Notify();
        },
        [&outcome](RequestRecord record) {
          outcome.record = std::move(record);
          outcome.done.Notify();
        });
  }

  RequestRecord Send(const LoadRequest& request) {
    auto target = ConnectGrpcTarget(options_);
    EXPECT_TRUE(target.ok()) << target.status();
    Outcome outcome;
    (*target)->Send(request, MeterOf(outcome));
    outcome.done.WaitForNotification();
    return outcome.record;
  }

  TargetOptions options_;
  FakeChatService service_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(GrpcTargetTest, CountsTokensAsTheServerDoes) {
  service_.Answer({Piece("a", 1), Piece("bc", 3), Piece("", 4, chat::v1::FINISH_REASON_LENGTH)});
  const RequestRecord record = Send({.prompt = TextPrompt("x")});
  EXPECT_EQ(record.error, "");
  EXPECT_EQ(record.input_tokens, 4);
  EXPECT_EQ(record.output_tokens, 4);
  EXPECT_EQ(record.gaps_ms.size(), 2);
  EXPECT_LE(record.scheduled, record.sent);
  EXPECT_LE(record.sent, record.first_output);
  EXPECT_LE(record.first_output, record.end);
}

TEST_F(GrpcTargetTest, AsksWhatTheRequestSays) {
  options_.temperature = 0.5;
  options_.sampling_seed = 3;
  service_.Answer({Piece("a", 1, chat::v1::FINISH_REASON_STOP)});
  Send({.prompt = TokenPrompt{1, 2}, .max_tokens = 8, .ignore_eos = true});
  const CompleteStreamRequest asked = service_.completion_asked();
  EXPECT_EQ(asked.model(), "m");
  EXPECT_THAT(asked.tokens().ids(), testing::ElementsAre(1, 2));
  EXPECT_EQ(asked.options().max_tokens(), 8);
  EXPECT_TRUE(asked.options().ignore_eos());
  EXPECT_EQ(asked.options().temperature(), 0.5);
  EXPECT_EQ(asked.options().seed(), 3);

  const auto messages = nlohmann::ordered_json::parse(R"([{"role":"user","content":"hi"}])");
  EXPECT_EQ(Send({.prompt = ChatMessages{messages}}).output_tokens, 2);
  EXPECT_EQ(service_.chat_asked().messages(0).role(), "user");
  EXPECT_EQ(service_.chat_asked().messages(0).content(), "hi");
  EXPECT_FALSE(service_.chat_asked().options().has_max_tokens());
}

TEST_F(GrpcTargetTest, NamesWhatWentWrong) {
  const LoadRequest request = {.prompt = TextPrompt("x")};
  service_.Answer({}, grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "queue full"));
  EXPECT_EQ(Send(request).error, "RESOURCE_EXHAUSTED");
  service_.Answer({Piece("a", 1)});
  EXPECT_EQ(Send(request).error, "incomplete") << "no finish_reason";
  service_.Answer({Piece("a", 1)}, grpc::Status::OK, /*hold=*/true);
  options_.timeout = absl::Milliseconds(100);
  EXPECT_EQ(Send(request).error, "timeout");
}

TEST_F(GrpcTargetTest, DestroyingTheTargetCancelsWhatRuns) {
  service_.Answer({Piece("a", 1)}, grpc::Status::OK, /*hold=*/true);
  auto target = ConnectGrpcTarget(options_);
  ASSERT_TRUE(target.ok()) << target.status();
  Outcome outcome;
  (*target)->Send({.prompt = TextPrompt("x")}, MeterOf(outcome));
  outcome.first_output.WaitForNotification();
  *target = nullptr;
  ASSERT_TRUE(outcome.done.HasBeenNotified());
  EXPECT_EQ(outcome.record.error, "cancelled");
  service_.cancelled().WaitForNotification();
}

TEST_F(GrpcTargetTest, SaysWhichModelIsMissing) {
  options_.model = "absent";
  EXPECT_EQ(ConnectGrpcTarget(options_).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tandem::cli

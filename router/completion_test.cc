#include "router/completion.h"

#include <gmock/gmock.h>

#include "router/api_error.h"
#include "router/testing/fake_token_engine.h"

namespace tandem::router {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// Runs tasks when told, on the test's thread.
class ManualExecutor final : public Executor {
 public:
  void Post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  void RunAll() {
    while (!tasks_.empty()) {
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }

 private:
  std::deque<std::function<void()>> tasks_;
};

class CompletionTest : public testing::Test {
 protected:
  CompletionRequest Text(const std::string& text) {
    CompletionRequest request;
    request.prompt = TextPrompt{text, /*add_special_tokens=*/false};
    return request;
  }

  // Submits and remembers the deltas.
  absl::Status Start(CompletionRequest request) {
    auto completion =
        service_.Start(std::move(request), [this](CompletionDelta delta) { deltas_.push_back(std::move(delta)); });
    if (completion.ok()) {
      completion_ = *std::move(completion);
    }
    return completion.status();
  }

  // One delta for each token.
  void Emit(absl::string_view text) {
    for (char c : text) {
      engine_.Emit(1, {&c, 1});
      executor_.RunAll();
    }
  }

  void Finish(FinishReason reason, std::optional<int32_t> token = std::nullopt, absl::Status error = absl::OkStatus()) {
    engine_.Finish(1, reason, token, std::move(error));
    executor_.RunAll();
  }

  std::string AllText() const {
    std::string text;
    for (const CompletionDelta& delta : deltas_) text += delta.text;
    return text;
  }

  FakeTokenEngine engine_;
  ByteCodec codec_;
  LineTemplate template_;
  ManualExecutor executor_;
  metrics::Registry registry_;
  CompletionMetrics metrics_{registry_};
  CompletionService service_{&engine_, &codec_, &template_, &executor_, &metrics_};
  std::shared_ptr<Completion> completion_;
  std::vector<CompletionDelta> deltas_;
};

TEST_F(CompletionTest, StreamsTextAndCountsTokens) {
  ASSERT_TRUE(Start(Text("abc")).ok());
  Emit("hi");
  Finish(FinishReason::kStop, ByteCodec::kEnd);
  EXPECT_EQ(AllText(), "hi");
  ASSERT_THAT(deltas_, SizeIs(3));
  EXPECT_THAT(deltas_[0].token_ids, ElementsAre('h'));
  EXPECT_EQ(deltas_[0].finish_reason, FinishReason::kNone);
  EXPECT_EQ(deltas_[2].finish_reason, FinishReason::kStop);
  EXPECT_EQ(deltas_[2].usage.prompt_tokens, 3);
  EXPECT_EQ(deltas_[2].usage.completion_tokens, 3) << "the end token counts";
  EXPECT_EQ(deltas_[2].stop_reason.index(), 0u);
}

TEST_F(CompletionTest, OneTaskTakesAllTokensThatWait) {
  ASSERT_TRUE(Start(Text("abc")).ok());
  engine_.Emit(1, "hello");
  executor_.RunAll();
  ASSERT_THAT(deltas_, SizeIs(1));
  EXPECT_EQ(deltas_[0].text, "hello");
}

TEST_F(CompletionTest, NeverSplitsACharacter) {
  ASSERT_TRUE(Start(Text("x")).ok());
  Emit("é🙂");
  for (const CompletionDelta& delta : deltas_) {
    EXPECT_THAT(delta.text, testing::AnyOf("", "é", "🙂"));
  }
  EXPECT_EQ(AllText(), "é🙂");
  Emit("\xf0\x9f");
  Finish(FinishReason::kLength);
  EXPECT_EQ(AllText(), "é🙂\xef\xbf\xbd");
}

TEST_F(CompletionTest, StopStringAcrossTokensCancelsTheEngine) {
  CompletionRequest request = Text("x");
  request.stop = {"END", "🛑"};
  ASSERT_TRUE(Start(request).ok());
  Emit("one EN");
  EXPECT_EQ(AllText(), "one ");
  Emit("D two");
  EXPECT_EQ(AllText(), "one ");
  EXPECT_TRUE(engine_.IsCancelled(1));
  EXPECT_EQ(deltas_.back().finish_reason, FinishReason::kStop);
  EXPECT_EQ(std::get<std::string>(deltas_.back().stop_reason), "END");
  EXPECT_EQ(deltas_.back().usage.completion_tokens, 7);
}

TEST_F(CompletionTest, StopStringOfOneCharacterOfSeveralTokens) {
  CompletionRequest request = Text("x");
  request.stop = {"🛑"};
  request.include_stop_in_output = true;
  ASSERT_TRUE(Start(request).ok());
  Emit("go🛑on");
  EXPECT_EQ(AllText(), "go🛑");
}

TEST_F(CompletionTest, HeldBackTextComesAtTheEnd) {
  CompletionRequest request = Text("x");
  request.stop = {"END"};
  ASSERT_TRUE(Start(request).ok());
  Emit("aEN");
  EXPECT_EQ(AllText(), "a");
  Finish(FinishReason::kLength, 'X');
  EXPECT_EQ(AllText(), "aENX");
  EXPECT_EQ(deltas_.back().finish_reason, FinishReason::kLength);
}

TEST_F(CompletionTest, StopStringsWaitForTheMinimumLength) {
  CompletionRequest request = Text("x");
  request.stop = {"a"};
  request.sampling.min_tokens = 3;
  ASSERT_TRUE(Start(request).ok());
  Emit("aaba");
  EXPECT_EQ(AllText(), "aab");
  EXPECT_EQ(deltas_.back().finish_reason, FinishReason::kStop);
}

TEST_F(CompletionTest, StopTokenIsNamedAndLeftOut) {
  CompletionRequest request = Text("x");
  request.sampling.stop_token_ids = {'.'};
  ASSERT_TRUE(Start(request).ok());
  Emit("ok");
  Finish(FinishReason::kStop, '.');
  EXPECT_EQ(AllText(), "ok");
  EXPECT_EQ(std::get<int32_t>(deltas_.back().stop_reason), '.');
}

TEST_F(CompletionTest, SpecialTokensAreShownOnRequest) {
  CompletionRequest request = Text("x");
  request.skip_special_tokens = false;
  ASSERT_TRUE(Start(request).ok());
  TokenEvent event;
  Emit("a");
  Finish(FinishReason::kLength, ByteCodec::kEnd);
  EXPECT_EQ(AllText(), "a<|end|>");
}

TEST_F(CompletionTest, CancelStopsTheSink) {
  ASSERT_TRUE(Start(Text("x")).ok());
  Emit("a");
  completion_->Cancel();
  executor_.RunAll();
  EXPECT_TRUE(engine_.IsCancelled(1));
  EXPECT_THAT(deltas_, SizeIs(1));
  EXPECT_THAT(registry_.Serialize(), HasSubstr("tandem_requests_finished_total{reason=\"cancelled\"} 1"));
}

TEST_F(CompletionTest, EngineErrorIsTheLastDelta) {
  ASSERT_TRUE(Start(Text("x")).ok());
  Emit("a");
  Finish(FinishReason::kError, std::nullopt, absl::UnavailableError("worker 3 lost"));
  EXPECT_EQ(deltas_.back().finish_reason, FinishReason::kError);
  EXPECT_EQ(deltas_.back().error.code(), absl::StatusCode::kUnavailable);
}

TEST_F(CompletionTest, UserTextCannotSpellSpecialTokens) {
  CompletionRequest request;
  request.prompt =
      ChatPrompt{.messages = {{{"role", "user"}, {"content", "<|end|>"}}}, .tools = nullptr, .options = {}};
  ASSERT_TRUE(Start(request).ok());
  const std::vector<int32_t> prompt = engine_.AwaitSubmitted(1).prompt;
  EXPECT_EQ(std::count(prompt.begin(), prompt.end(), ByteCodec::kEnd), 1) << "the template's own only";
}

TEST_F(CompletionTest, TemplateFailureIsTheClientsError) {
  CompletionRequest request;
  request.prompt = ChatPrompt{.messages = {{{"role", "function"}, {"content", ""}}}, .tools = nullptr, .options = {}};
  const absl::Status status = Start(request);
  EXPECT_EQ(ToApiError(status).http_status, 400);
  EXPECT_EQ(ToApiError(status).code, "template_error");
  EXPECT_THAT(status.message(), HasSubstr("'function'"));
}

TEST_F(CompletionTest, PromptBoundsAreExplained) {
  const absl::Status too_long = Start(Text(std::string(1000, 'x')));
  EXPECT_EQ(ToApiError(too_long).code, "context_length_exceeded");
  EXPECT_THAT(too_long.message(), HasSubstr("1000"));
  EXPECT_EQ(ToApiError(Start(Text(""))).http_status, 400);
  CompletionRequest tokens;
  tokens.prompt = TokenPrompt{1, 2, 258};
  EXPECT_THAT(Start(tokens).message(), HasSubstr("258"));
  tokens.prompt = TokenPrompt{-1};
  EXPECT_FALSE(Start(tokens).ok());
  EXPECT_THAT(registry_.Serialize(), HasSubstr("tandem_requests_rejected_total{cause=\"context_length_exceeded\"} 1"));
}

TEST_F(CompletionTest, MaxTokensIsCutToTheContext) {
  CompletionRequest request = Text(std::string(990, 'x'));
  request.sampling.max_tokens = 50;
  ASSERT_TRUE(Start(request).ok());
  EXPECT_EQ(engine_.AwaitSubmitted(1).sampling.max_tokens, 10);
}

TEST_F(CompletionTest, DrainRefusesNewRequestsAndFinishesOldOnes) {
  ASSERT_TRUE(Start(Text("x")).ok());
  service_.Drain();
  EXPECT_EQ(ToApiError(service_.Health()).code, "draining");
  EXPECT_EQ(ToApiError(Start(Text("y"))).http_status, 503);
  Emit("a");
  Finish(FinishReason::kStop, ByteCodec::kEnd);
  EXPECT_EQ(AllText(), "a");
}

TEST_F(CompletionTest, FullQueueIsRefused) {
  engine_.RefuseWith(absl::ResourceExhaustedError("the queue is full"));
  const ApiError error = ToApiError(Start(Text("x")));
  EXPECT_EQ(error.http_status, 429);
  EXPECT_EQ(error.code, "queue_full");
  EXPECT_TRUE(error.retry_after_seconds.has_value());
  EXPECT_THAT(registry_.Serialize(), HasSubstr("tandem_requests_waiting 0"));
}

TEST_F(CompletionTest, RequestsHaveADeadline) {
  ASSERT_TRUE(Start(Text("x")).ok());
  EXPECT_EQ(engine_.AwaitSubmitted(1).deadline, absl::InfiniteFuture());
  CompletionService hurried(&engine_, &codec_, &template_, &executor_, &metrics_,
                            {.request_timeout = absl::Seconds(5)});
  const absl::Time before = absl::Now();
  ASSERT_TRUE(hurried.Start(Text("y"), [](CompletionDelta) {}).ok());
  const absl::Time deadline = engine_.AwaitSubmitted(2).deadline;
  EXPECT_GE(deadline, before + absl::Seconds(5));
  EXPECT_LE(deadline, absl::Now() + absl::Seconds(5));
}

TEST_F(CompletionTest, EveryAnswerHasItsOwnTextAndStop) {
  CompletionRequest request = Text("x");
  request.sampling.n = 2;
  request.stop = {"ab"};
  ASSERT_TRUE(Start(request).ok());
  engine_.Emit(1, "a", 0);
  engine_.Emit(1, "b", 1);
  engine_.Emit(1, "a", 1);
  engine_.Emit(1, "b", 0);
  executor_.RunAll();
  ASSERT_THAT(deltas_, SizeIs(2)) << "one for each answer with news";
  EXPECT_EQ(deltas_[0].finish_reason, FinishReason::kStop);
  EXPECT_EQ(deltas_[0].text, "");
  EXPECT_EQ(deltas_[1].choice, 1);
  EXPECT_EQ(deltas_[1].text, "b") << "the a is held back";
  EXPECT_EQ(deltas_[1].usage.completion_tokens, 2);
  EXPECT_TRUE(engine_.IsCancelled(1, 0));
  EXPECT_FALSE(engine_.IsCancelled(1, 1));
  engine_.Finish(1, FinishReason::kLength, 'c', absl::OkStatus(), 1);
  executor_.RunAll();
  EXPECT_EQ(deltas_.back().text, "ac");
  const std::string text = registry_.Serialize();
  EXPECT_THAT(text, HasSubstr("tandem_requests_running 0"));
  EXPECT_THAT(text, HasSubstr("tandem_generation_tokens_total 5"));
  EXPECT_THAT(text, HasSubstr("tandem_prompt_tokens_total{source=\"computed\"} 1"));
}

TEST_F(CompletionTest, LatenciesComeFromTheEnginesClock) {
  ASSERT_TRUE(Start(Text("x")).ok());
  auto first = std::make_shared<FirstEventInfo>();
  first->queue_time = absl::Seconds(2);
  first->cached_tokens = 1;
  TokenEvent event;
  event.token = 'a';
  event.time = absl::Now() + absl::Seconds(5);
  event.first = std::move(first);
  engine_.Send(1, event);
  event.first = nullptr;
  event.time += absl::Seconds(4);
  event.finish_reason = FinishReason::kLength;
  engine_.Send(1, event);
  executor_.RunAll();
  EXPECT_EQ(deltas_.back().usage.cached_tokens, 1);
  const std::string text = registry_.Serialize();
  EXPECT_THAT(text, HasSubstr("tandem_request_queue_seconds_sum 2"));
  EXPECT_THAT(text, HasSubstr("tandem_inter_token_latency_seconds_sum 4"));
  EXPECT_THAT(text, HasSubstr("tandem_request_decode_seconds_sum 4"));
  EXPECT_THAT(text, HasSubstr("tandem_prompt_tokens_total{source=\"cached\"} 1"));
}

TEST_F(CompletionTest, GaugesFollowARequest) {
  ASSERT_TRUE(Start(Text("x")).ok());
  EXPECT_THAT(registry_.Serialize(), HasSubstr("tandem_requests_waiting 1"));
  Emit("ab");
  EXPECT_THAT(registry_.Serialize(), HasSubstr("tandem_requests_waiting 0"));
  EXPECT_THAT(registry_.Serialize(), HasSubstr("tandem_requests_running 1"));
  Finish(FinishReason::kLength);
  const std::string text = registry_.Serialize();
  EXPECT_THAT(text, HasSubstr("tandem_requests_running 0"));
  EXPECT_THAT(text, HasSubstr("tandem_requests_finished_total{reason=\"length\"} 1"));
  EXPECT_THAT(text, HasSubstr("tandem_generation_tokens_total 2"));
  EXPECT_THAT(text, HasSubstr("tandem_prompt_tokens_total{source=\"computed\"} 1"));
  EXPECT_THAT(text, HasSubstr("tandem_inter_token_latency_seconds_count 1"));
  EXPECT_THAT(text, HasSubstr("tandem_time_to_first_token_seconds_count 1"));
}

TEST_F(CompletionTest, AFinishedCompletionLetsGoOfItsSink) {
  auto owner = std::make_shared<int>(1);
  std::weak_ptr<int> watch = owner;
  auto completion = service_.Start(Text("x"), [owner](CompletionDelta) {});
  owner.reset();
  EXPECT_FALSE(watch.expired());
  Finish(FinishReason::kLength);
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace tandem::router

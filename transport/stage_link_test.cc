#include "transport/stage_link.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace tandem::transport {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

// One end of a line, and all that it was told.
class End {
 public:
  StageCallbacks Callbacks() {
    return {.on_message =
                [this](StageMessage message) {
                  absl::MutexLock lock(&mutex_);
                  messages_.push_back(std::move(message));
                },
            .on_lost =
                [this](const absl::Status& reason) {
                  absl::MutexLock lock(&mutex_);
                  lost_.push_back(reason);
                }};
  }

  StageMessage Next() {
    absl::MutexLock lock(&mutex_);
    const auto some = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !messages_.empty(); };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&some), kPatience));
    StageMessage message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }

  bool AwaitLost() {
    absl::MutexLock lock(&mutex_);
    const auto lost = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !lost_.empty(); };
    return mutex_.AwaitWithTimeout(absl::Condition(&lost), kPatience) && lost_.size() == 1;
  }

  bool lost() {
    absl::MutexLock lock(&mutex_);
    return !lost_.empty();
  }

 private:
  absl::Mutex mutex_;
  std::deque<StageMessage> messages_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Status> lost_ ABSL_GUARDED_BY(mutex_);
};

class Stage : public StageHandler {
 public:
  absl::StatusOr<int64_t> Agree(const StageTerms& wanted, absl::Time) override {
    absl::MutexLock lock(&mutex_);
    const absl::Status agreed = CheckTerms(wanted, terms_);
    return agreed.ok() ? absl::StatusOr<int64_t>(77) : agreed;
  }
  absl::StatusOr<StageCallbacks> Open(std::shared_ptr<StageLink> link) override {
    absl::MutexLock lock(&mutex_);
    if (!open_error_.ok()) {
      return open_error_;
    }
    link_ = std::move(link);
    return end_.Callbacks();
  }
  std::shared_ptr<StageLink> AwaitLink() {
    absl::MutexLock lock(&mutex_);
    const auto there = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return link_ != nullptr; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
    return link_;
  }
  void RefuseLines(absl::Status error) {
    absl::MutexLock lock(&mutex_);
    open_error_ = std::move(error);
  }
  End& end() { return end_; }

 private:
  absl::Mutex mutex_;
  const StageTerms terms_ = {.stage = 1, .num_stages = 2, .layers = {{2, 4}}};
  std::shared_ptr<StageLink> link_ ABSL_GUARDED_BY(mutex_);
  absl::Status open_error_ ABSL_GUARDED_BY(mutex_);
  End end_;
};

class StageLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = StartStageServer("127.0.0.1:0", &stage_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  absl::StatusOr<ConnectedStage> Connect(const StageTerms& terms) {
    return ConnectStage(absl::StrCat("127.0.0.1:", server_->port()), terms, near_.Callbacks(), absl::Now() + kPatience);
  }
  const StageTerms terms_ = {.stage = 1, .num_stages = 2, .layers = {{2, 4}}};

  End near_;
  Stage stage_;
  std::unique_ptr<StageServer> server_;
};

TEST_F(StageLinkTest, CarriesMessagesBothWaysInOrder) {
  auto connected = Connect(terms_);
  ASSERT_TRUE(connected.ok()) << connected.status();
  EXPECT_EQ(connected->kv_blocks, 77);
  FrameBuffer rows(1 << 20);
  rows.mutable_bytes()[12345] = std::byte{42};
  ASSERT_TRUE(connected->link->Send(StageStep{.step = 1}).ok());
  ASSERT_TRUE(connected->link->Send(StageRows{.step = 1, .micro_batch = 3, .result = true, .rows = rows}).ok());
  EXPECT_EQ(std::get<StageStep>(stage_.end().Next()).step, 1u);
  const auto got = std::get<StageRows>(stage_.end().Next());
  EXPECT_EQ(got.micro_batch, 3);
  EXPECT_TRUE(got.result);
  ASSERT_EQ(got.rows.size(), rows.size());
  EXPECT_EQ(got.rows.data()[12345], std::byte{42});

  const std::shared_ptr<StageLink> far = stage_.AwaitLink();
  ASSERT_TRUE(far->Send(StageFailure{.step = 9, .error = absl::UnavailableError("no luck")}).ok());
  ASSERT_TRUE(far->Send(StageReport{.step = 9, .stage = 1, .busy = absl::Microseconds(5)}).ok());
  EXPECT_EQ(std::get<StageFailure>(near_.Next()).error, absl::UnavailableError("no luck"));
  EXPECT_EQ(std::get<StageReport>(near_.Next()).busy, absl::Microseconds(5));
  connected->link->Close();
  EXPECT_FALSE(near_.lost()) << "the owner closed it";
  EXPECT_TRUE(stage_.end().AwaitLost());
  EXPECT_TRUE(absl::IsUnavailable(connected->link->Send(StageStep{.step = 2})));
}

TEST_F(StageLinkTest, BothEndsLearnThatTheOtherIsGone) {
  auto connected = Connect(terms_);
  ASSERT_TRUE(connected.ok()) << connected.status();
  stage_.AwaitLink();
  server_.reset();
  EXPECT_TRUE(near_.AwaitLost());
  EXPECT_FALSE(connected->link->open());
  connected->link->Close();
}

TEST_F(StageLinkTest, TheServedEndMayCloseToo) {
  auto connected = Connect(terms_);
  ASSERT_TRUE(connected.ok()) << connected.status();
  stage_.AwaitLink()->Close();
  EXPECT_TRUE(near_.AwaitLost());
  EXPECT_FALSE(stage_.end().lost());
  connected->link->Close();
}

TEST_F(StageLinkTest, ARefusedLineIsLost) {
  stage_.RefuseLines(absl::FailedPreconditionError("not now"));
  auto connected = Connect(terms_);
  ASSERT_TRUE(connected.ok()) << connected.status();
  EXPECT_TRUE(near_.AwaitLost());
  connected->link->Close();
}

TEST_F(StageLinkTest, NobodyThereIsUnavailable) {
  const int port = server_->port();
  server_.reset();
  const auto connected =
      ConnectStage(absl::StrCat("127.0.0.1:", port), terms_, near_.Callbacks(), absl::Now() + kPatience);
  EXPECT_TRUE(absl::IsUnavailable(connected.status())) << connected.status();
}

// Each difference is refused by the name of what differs.
TEST_F(StageLinkTest, OtherTermsAreRefusedByName) {
  const std::pair<const char*, std::function<void(StageTerms&)>> differences[] = {
      {"architecture", [](StageTerms& t) { t.model.architecture = "other"; }},
      {"checkpoint_digest", [](StageTerms& t) { t.model.checkpoint_digest = "abc"; }},
      {"weight_dtype", [](StageTerms& t) { t.model.weight_dtype = compute::DType::kBF16; }},
      {"wire_dtype", [](StageTerms& t) { t.model.wire_dtype = compute::DType::kBF16; }},
      {"kv_cache_dtype", [](StageTerms& t) { t.kv_cache_dtype = compute::DType::kI8; }},
      {"num_stages", [](StageTerms& t) { t.num_stages = 3; }},
      {"stage differs", [](StageTerms& t) { t.stage = 2; }},
      {"stage policy", [](StageTerms& t) { t.dualpipe = true; }},
      {"layers",
       [](StageTerms& t) {
         t.layers = {{1, 4}};
       }},
      {"kv_block_size", [](StageTerms& t) { t.kv_block_size = 64; }},
      {"max-batch-tokens", [](StageTerms& t) { t.max_batch_tokens = 1; }},
      {"max-model-len", [](StageTerms& t) { t.max_model_len = 1; }},
  };
  for (const auto& [name, change] : differences) {
    StageTerms terms = terms_;
    change(terms);
    const auto connected = Connect(terms);
    EXPECT_TRUE(absl::IsFailedPrecondition(connected.status())) << name << ": " << connected.status();
    EXPECT_NE(std::string(connected.status().message()).find(name), std::string::npos) << connected.status();
  }
}

}  // namespace
}  // namespace tandem::transport

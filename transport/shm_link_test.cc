// Messages between the two ends of a link in one process, above all those that are written where they are sent from.
#include "transport/shm_link.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <string>

namespace tandem::transport {
namespace {

constexpr SegmentSizes kSmall{.dispatch_bytes = 64 << 10, .combine_bytes = 64 << 10};

absl::Span<const std::byte> BytesOf(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

class ShmLinkTest : public ::testing::Test {
 protected:
  ShmLinkTest() {
    ShmSegment segment = *ShmSegment::Create(kSmall);
    ShmSegment adopted = *ShmSegment::Adopt(UniqueFd(dup(segment.fd().get())), kSmall);
    router_ = std::make_shared<ShmLink>(std::move(segment), ShmLink::Side::kRouter, Bell(worker_bell_), 1 << 20);
    worker_ = std::make_shared<ShmLink>(std::move(adopted), ShmLink::Side::kWorker, Bell(router_bell_), 1 << 20);
  }

  static RemoteDoorbell Bell(const Doorbell& doorbell) { return *RemoteDoorbell::Map(doorbell.fd()); }

  // A lent buffer that has `text` in it.
  FrameBuffer Lent(const std::string& text) {
    FrameBuffer lent = worker_->Lend(0, text.size());
    EXPECT_EQ(lent.size(), text.size());
    if (lent.size() == text.size()) {
      std::memcpy(lent.mutable_bytes().data(), text.data(), text.size());
    }
    return lent;
  }

  // A message of five bytes and `last`.
  absl::Status Send(const std::string& prefix, absl::Span<const std::byte> last) {
    return worker_->Send(BytesOf(prefix), {last});
  }

  // The next message's first five bytes and what its last part begins with; "" when there is none.
  std::string Received(size_t last_bytes) {
    const auto message = router_->Receive();
    EXPECT_TRUE(message.ok()) << message.status();
    if (!message.ok() || !message->has_value()) {
      return "";
    }
    EXPECT_EQ((*message)->size(), kLeadBytes + AlignRecord(last_bytes));
    const auto* const bytes = reinterpret_cast<const char*>((*message)->data());
    return std::string(bytes, 5) + std::string(bytes + kLeadBytes, last_bytes);
  }

  Doorbell router_bell_{absl::ZeroDuration()};
  Doorbell worker_bell_{absl::ZeroDuration()};
  std::shared_ptr<ShmLink> router_;
  std::shared_ptr<ShmLink> worker_;
};

TEST_F(ShmLinkTest, ALentPartArrivesBehindWhatPrecedesIt) {
  for (int i = 0; i < 3000; ++i) {  // many times around the ring
    const std::string number = absl::StrCat("number ", i);
    ASSERT_EQ(Send("head ", Lent(number).bytes()), absl::OkStatus());
    ASSERT_EQ(Received(number.size()), absl::StrCat("head ", number));
  }
}

TEST_F(ShmLinkTest, LaterMessagesWaitForALentPartAndGoInOrder) {
  const FrameBuffer first = Lent("lent");
  ASSERT_EQ(Send("2nd: ", BytesOf("copied")), absl::OkStatus());
  EXPECT_EQ(Received(6), "");
  ASSERT_EQ(Send("1st: ", first.bytes()), absl::OkStatus());
  EXPECT_EQ(Received(4), "1st: lent");
  EXPECT_EQ(Received(6), "2nd: copied");
}

TEST_F(ShmLinkTest, ALentPartThatIsNotSentLeavesNoGap) {
  FrameBuffer unused = Lent("never sent");
  ASSERT_EQ(Send("2nd: ", BytesOf("copied")), absl::OkStatus());
  unused = FrameBuffer();
  EXPECT_EQ(Received(6), "2nd: copied");
  EXPECT_EQ(Received(6), "");
}

TEST_F(ShmLinkTest, ABufferThatWasSentAndIsStillHeldDoesNotEndALaterLoanOfItsPlace) {
  FrameBuffer sent = Lent("a");
  ASSERT_EQ(Send("head ", sent.bytes()), absl::OkStatus());
  EXPECT_EQ(Received(1), "head a");
  FrameBuffer again = Lent("b");
  while (again.data() != sent.data()) {  // around the ring
    ASSERT_EQ(Send("head ", again.bytes()), absl::OkStatus());
    ASSERT_EQ(Received(1), "head b");
    again = Lent("b");
    ASSERT_EQ(again.size(), 1u);
  }
  sent = FrameBuffer();
  EXPECT_EQ(Received(1), "");
  ASSERT_EQ(Send("head ", again.bytes()), absl::OkStatus());
  EXPECT_EQ(Received(1), "head b");
}

TEST_F(ShmLinkTest, NothingIsLentWithoutRoom) {
  EXPECT_EQ(worker_->Lend(0, 64 << 10).size(), 0u) << "longer than a record can be";
  const std::string half(30 << 10, 'x');
  ASSERT_EQ(Send("1st: ", BytesOf(half)), absl::OkStatus());
  ASSERT_EQ(Send("2nd: ", BytesOf(half)), absl::OkStatus());
  EXPECT_EQ(worker_->Lend(0, half.size()).size(), 0u) << "the ring is full";
  ASSERT_EQ(Send("3rd: ", BytesOf(half)), absl::OkStatus());
  EXPECT_EQ(worker_->backlog(), 1u);
  EXPECT_EQ(worker_->Lend(0, 64).size(), 0u) << "it would overtake messages that wait";
  EXPECT_EQ(Received(half.size()), "1st: " + half);
  ASSERT_EQ(worker_->Flush(), absl::OkStatus());
  EXPECT_EQ(Received(half.size()), "2nd: " + half);
  EXPECT_EQ(Received(half.size()), "3rd: " + half);
  EXPECT_EQ(Lent("room again").size(), 10u);
}

}  // namespace
}  // namespace tandem::transport

// The ring between two threads, and against a peer that writes nonsense.
#include "transport/shm_ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "transport/doorbell.h"

namespace tandem::transport {
namespace {

constexpr SegmentSizes kSmall{.dispatch_bytes = 64 << 10, .combine_bytes = 64 << 10};

// What record `number` of a run with `seed` looks like.
std::vector<std::byte> Body(uint32_t seed, int number, size_t max_bytes) {
  std::mt19937 random(seed + static_cast<uint32_t>(number));
  std::vector<std::byte> body(random() % (max_bytes + 1));
  for (std::byte& byte : body) {
    byte = static_cast<std::byte>(random());
  }
  return body;
}

// Sends `records` records one after the other, asleep while there is no room.
void Produce(const RingMemory& memory, uint32_t seed, int records, Doorbell& room, Doorbell& consumer) {
  RingProducer producer(memory);
  for (int i = 0; i < records; ++i) {
    const std::vector<std::byte> body = Body(seed, i, producer.max_body_bytes());
    std::optional<RingProducer::Slot> slot;
    room.Wait([&] {
      producer.WantRoom();
      auto reserved = producer.Reserve(body.size());
      EXPECT_TRUE(reserved.ok()) << reserved.status();
      slot = reserved.value_or(std::nullopt);
      return slot.has_value();
    });
    if (!body.empty()) {
      std::memcpy(slot->body, body.data(), body.size());
    }
    producer.Commit(*slot, body.size(), RecordKind::kWhole);
    consumer.Ring();
  }
}

class ShmRingTest : public ::testing::Test {
 protected:
  ShmRingTest() : segment_(*ShmSegment::Create(kSmall)) {}

  const RingMemory& memory() const { return segment_.dispatch(); }

  void ExpectDataLoss(const RecordHeader& header, uint64_t head) {
    ShmSegment segment = *ShmSegment::Create(kSmall);
    std::memcpy(segment.dispatch().data, &header, sizeof(header));
    segment.dispatch().control->head = head;
    EXPECT_EQ(RingConsumer(segment.dispatch()).Take().status().code(), absl::StatusCode::kDataLoss);
  }

  ShmSegment segment_;
};

TEST_F(ShmRingTest, CarriesRecordsOfAnySizeAcrossTheEndInOrder) {
  constexpr int kRecords = 2000;
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  Doorbell room(absl::ZeroDuration());
  Doorbell arrival(absl::Microseconds(10));
  std::thread producer([&] { Produce(memory(), seed, kRecords, room, arrival); });
  RingConsumer consumer(memory());
  for (int i = 0; i < kRecords; ++i) {
    std::optional<RingConsumer::Record> record;
    arrival.Wait([&] {
      record = *consumer.Take();
      return record.has_value();
    });
    const std::vector<std::byte> want = Body(seed, i, RingProducer(memory()).max_body_bytes());
    ASSERT_EQ(absl::MakeSpan(record->body, record->header.body_bytes), absl::MakeConstSpan(want)) << i;
    if (consumer.Release(record->position)) {
      room.Ring();
    }
  }
  producer.join();
}

TEST_F(ShmRingTest, RecordsReservedTogetherArriveInOrderOnceTheFirstIsCommitted) {
  RingProducer producer(memory());
  RingConsumer consumer(memory());
  const RingProducer::Slot first = **producer.Reserve(10);
  const RingProducer::Slot second = **producer.Reserve(20);
  EXPECT_FALSE(producer.Commit(second, 20, RecordKind::kWhole));
  EXPECT_FALSE(consumer.Take()->has_value());
  EXPECT_TRUE(producer.Commit(first, 10, RecordKind::kWhole));
  EXPECT_EQ((*consumer.Take())->header.body_bytes, 10u);
  EXPECT_EQ((*consumer.Take())->header.body_bytes, 20u);
}

TEST_F(ShmRingTest, RoomComesBackOnlyUpToTheOldestRecordThatIsHeld) {
  RingProducer producer(memory());
  RingConsumer consumer(memory());
  const size_t half = producer.max_body_bytes();
  producer.Commit(**producer.Reserve(half), half, RecordKind::kWhole);
  producer.Commit(**producer.Reserve(half), half, RecordKind::kWhole);
  EXPECT_FALSE(producer.Reserve(0)->has_value());
  const uint64_t first = (*consumer.Take())->position;
  const uint64_t second = (*consumer.Take())->position;
  producer.WantRoom();
  EXPECT_FALSE(consumer.Release(second));
  EXPECT_FALSE(producer.Reserve(0)->has_value());
  EXPECT_TRUE(consumer.Release(first)) << "the producer waits for room";
  EXPECT_TRUE(producer.Reserve(half)->has_value());
}

TEST_F(ShmRingTest, RefusesWhatNoProducerWrites) {
  const RecordHeader good{128, 10, 0, RecordKind::kWhole};
  const auto with = [&](auto change) {
    RecordHeader header = good;
    change(header);
    return header;
  };
  ExpectDataLoss(good, kSmall.dispatch_bytes + 64);
  ExpectDataLoss(good, 130);
  ExpectDataLoss(good, 64);  // longer than what was written
  ExpectDataLoss(good, uint64_t{0} - 64);
  ExpectDataLoss(with([](RecordHeader& h) { h.record_bytes = 0; }), 128);
  ExpectDataLoss(with([](RecordHeader& h) { h.record_bytes = 100; }), 128);
  ExpectDataLoss(with([](RecordHeader& h) { h.record_bytes = ~uint64_t{63}; }), 128);
  ExpectDataLoss(with([](RecordHeader& h) { h.body_bytes = 65; }), 128);
  ExpectDataLoss(with([](RecordHeader& h) { h.kind = RecordKind{0}; }), 128);
  ExpectDataLoss(with([](RecordHeader& h) { h.kind = RecordKind{4}; }), 128);
}

TEST_F(ShmRingTest, RefusesAConsumerAtAnImpossiblePosition) {
  for (const uint64_t tail : {uint64_t{1} << 40, uint64_t{7}}) {
    ShmSegment segment = *ShmSegment::Create(kSmall);
    RingProducer producer(segment.dispatch());
    const size_t half = producer.max_body_bytes();
    producer.Commit(**producer.Reserve(half), half, RecordKind::kWhole);
    producer.Commit(**producer.Reserve(half), half, RecordKind::kWhole);
    segment.dispatch().control->tail = tail;
    EXPECT_EQ(producer.Reserve(0).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(ShmRingTest, SegmentsOfAnotherSizeOrUnsealedAreNotAdopted) {
  SegmentSizes other = kSmall;
  other.combine_bytes *= 2;
  EXPECT_EQ(ShmSegment::Adopt(UniqueFd(dup(segment_.fd().get())), other).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ShmSegment::Create({.dispatch_bytes = 3 << 16, .combine_bytes = 1 << 16}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(ShmSegment::Adopt(UniqueFd(dup(segment_.fd().get())), kSmall).ok());
}

}  // namespace
}  // namespace tandem::transport

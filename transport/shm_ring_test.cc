// The ring between two threads, and against a peer that writes nonsense.
#include "transport/shm_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
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

// A ring that is larger than what is kept hot.
constexpr SegmentSizes kLarge{.dispatch_bytes = 1 << 20, .combine_bytes = 64 << 10};

TEST_F(ShmRingTest, AnEmptyRingStartsAgainAtTheDatasBegin) {
  ShmSegment segment = *ShmSegment::Create(kLarge);
  RingProducer producer(segment.dispatch());
  RingConsumer consumer(segment.dispatch());
  const auto send = [&] {
    const RingProducer::Slot slot = **producer.Reserve(8000);
    producer.Commit(slot, 8000, RecordKind::kWhole);
    return static_cast<size_t>(slot.body - segment.dispatch().data);
  };
  const auto receive = [&] {
    const RingConsumer::Record record = **consumer.Take();
    EXPECT_EQ(record.header.body_bytes, 8000u);
    return record.position;
  };
  for (int i = 0; i < 1000; ++i) {
    EXPECT_LT(send(), kLarge.dispatch_bytes / 4);
    consumer.Release(receive());
  }
  send();
  const uint64_t held = receive();
  std::vector<size_t> places;
  for (int i = 0; i < 120; ++i) {
    places.push_back(send());
    consumer.Release(receive());
  }
  EXPECT_GT(places.back(), kLarge.dispatch_bytes / 2) << "what is held may not be written over";
  consumer.Release(held);
  EXPECT_EQ(send(), sizeof(RecordHeader));
  consumer.Release(receive());
}

TEST_F(ShmRingTest, RecordsStayWholeHoweverManyAreHeldAndInWhateverOrderTheyGo) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  ShmSegment segment = *ShmSegment::Create(kLarge);
  RingProducer producer(segment.dispatch());
  RingConsumer consumer(segment.dispatch());
  struct Held {
    RingConsumer::Record record;
    std::vector<std::byte> body;
  };
  std::deque<std::vector<std::byte>> sent;
  std::vector<Held> held;
  size_t most = 0;  // that are held; changes, so that the ring is often empty and often full
  for (int i = 0; i < 1000; ++i) {
    most = i % 100 == 0 ? random() % 8 : most;
    std::vector<std::byte> body = Body(seed, i, random() % 4 == 0 ? 200'000 : 5'000);
    if (const auto slot = *producer.Reserve(body.size()); slot.has_value()) {
      std::copy(body.begin(), body.end(), slot->body);
      producer.Commit(*slot, body.size(), RecordKind::kWhole);
      sent.push_back(std::move(body));
    }
    if (random() % 2 == 0) {
      while (const auto record = *consumer.Take()) {
        held.push_back({*record, std::move(sent.front())});
        sent.pop_front();
      }
    }
    while (held.size() > most) {
      std::swap(held[random() % held.size()], held.back());
      const Held& last = held.back();
      ASSERT_EQ(absl::MakeSpan(last.record.body, last.record.header.body_bytes), absl::MakeConstSpan(last.body)) << i;
      consumer.Release(last.record.position);
      held.pop_back();
    }
  }
}

TEST_F(ShmRingTest, ARestartThatNoProducerMakesLeadsNowhereElseThanIntoTheData) {
  RingProducer producer(memory());
  RingConsumer consumer(memory());
  producer.Commit(**producer.Reserve(100), 100, RecordKind::kWhole);
  const RingConsumer::Record first = **consumer.Take();
  producer.Commit(**producer.Reserve(200), 200, RecordKind::kWhole);
  memory().control->restart = first.header.record_bytes();
  EXPECT_EQ((*consumer.Take())->body, first.body);
}

TEST_F(ShmRingTest, RefusesWhatNoProducerWrites) {
  const RecordHeader good{0, 100, RecordKind::kWhole};  // 128 bytes with its header and padding
  const auto with = [&](auto change) {
    RecordHeader header = good;
    change(header);
    return header;
  };
  ExpectDataLoss(good, kSmall.dispatch_bytes + 64);
  ExpectDataLoss(good, 130);
  ExpectDataLoss(good, 64);  // longer than what was written
  ExpectDataLoss(good, uint64_t{0} - 64);
  ExpectDataLoss(with([](RecordHeader& h) { h.body_bytes = 113; }), 128);
  ExpectDataLoss(with([](RecordHeader& h) { h.body_bytes = ~uint32_t{0}; }), 128);
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

#include "transport/frame_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tandem/expert/v1/expert_service.pb.h"
#include "transport/testing/fake_handler.h"

namespace tandem::transport {
namespace {

using ::testing::HasSubstr;
namespace wire = ::tandem::expert::v1;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

std::string Bytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// The message in slices of `slice_size` bytes, as it may arrive from the network.
grpc::ByteBuffer Message(const std::string& bytes, size_t slice_size = 1 << 20) {
  std::vector<grpc::Slice> slices;
  for (size_t begin = 0; begin < bytes.size(); begin += slice_size) {
    slices.emplace_back(bytes.substr(begin, slice_size));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

void ExpectSame(const DispatchFrame& a, const DispatchFrame& b) {
  EXPECT_EQ(a.placement_epoch, b.placement_epoch);
  EXPECT_EQ(a.layer, b.layer);
  EXPECT_EQ(a.num_rows, b.num_rows);
  EXPECT_EQ(a.hidden_size, b.hidden_size);
  EXPECT_EQ(a.dtype, b.dtype);
  EXPECT_EQ(a.pairs, b.pairs);
  EXPECT_EQ(a.deadline, b.deadline);
  EXPECT_TRUE(a.rows.bytes() == b.rows.bytes());
}

TEST(FrameCodecTest, DispatchSurvivesAnySlicing) {
  std::mt19937 random(1);
  for (int i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    DispatchFrame frame =
        TestFrame(random() % 100, random() % 9, 1 + random() % 70, 1 + static_cast<int>(random() % 8));
    frame.placement_epoch = uint64_t{random()} << 32 | random();
    if (i % 2 == 0) {
      frame.deadline = kNow + absl::Microseconds(1 + random() % 1000000);
    }
    const std::string bytes = Bytes(EncodeDispatch(i + 1, frame, kNow));
    const DecodedDispatch decoded = DecodeDispatch(Message(bytes, 1 + random() % (bytes.size() + 1)), kNow);
    EXPECT_EQ(decoded.frame_id, i + 1);
    ASSERT_TRUE(decoded.frame.ok()) << decoded.frame.status();
    ExpectSame(*decoded.frame, frame);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(decoded.frame->rows.data()) % 64, 0);
  }
}

TEST(FrameCodecTest, DispatchIsTheMessageOfTheProto) {
  const DispatchFrame frame = TestFrame(3, 2, 4, 2);
  wire::ExchangeRequest message;
  ASSERT_TRUE(message.ParseFromString(Bytes(EncodeDispatch(9, frame, kNow))));
  EXPECT_EQ(message.frame_id(), 9);
  EXPECT_EQ(message.layer(), 3);
  EXPECT_EQ(message.dtype(), wire::DTYPE_F32);
  EXPECT_THAT(message.pair_rows(), ::testing::ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(message.pair_experts(), ::testing::ElementsAre(0, 0, 1, 1));
  EXPECT_EQ(message.rows().size(), 2 * 4 * sizeof(float));
  EXPECT_EQ(message.timeout_us(), 0);
  const DecodedDispatch decoded = DecodeDispatch(Message(message.SerializeAsString()), kNow);
  ASSERT_TRUE(decoded.frame.ok()) << decoded.frame.status();
  ExpectSame(*decoded.frame, frame);
}

TEST(FrameCodecTest, SendsThePayloadInPlaceAndKeepsItAlive) {
  grpc::ByteBuffer message;
  const std::byte* rows = nullptr;
  {
    const DispatchFrame frame = TestFrame(0, 100, 100, 1);
    rows = frame.rows.data();
    message = EncodeDispatch(1, frame, kNow);
  }
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(message.Dump(&slices).ok());
  ASSERT_EQ(slices.size(), 2);
  EXPECT_EQ(reinterpret_cast<const std::byte*>(slices[1].begin()), rows);
  const DecodedDispatch decoded = DecodeDispatch(message, kNow);
  ASSERT_TRUE(decoded.frame.ok());
  EXPECT_TRUE(decoded.frame->rows.bytes() == TestFrame(0, 100, 100, 1).rows.bytes());
}

TEST(FrameCodecTest, DeadlinesTravelAsTimeLeft) {
  DispatchFrame frame = TestFrame(0, 1, 1, 1);
  frame.deadline = kNow + absl::Seconds(5);
  const absl::Time there = kNow + absl::Hours(1000);  // the worker's clock is wrong
  EXPECT_EQ(DecodeDispatch(EncodeDispatch(1, frame, kNow), there).frame->deadline, there + absl::Seconds(5));
  frame.deadline = kNow - absl::Seconds(5);
  EXPECT_EQ(DecodeDispatch(EncodeDispatch(1, frame, kNow), there).frame->deadline, there + absl::Microseconds(1));
}

// A frame of kF8E4M3: a row is its codes and a scale, its outputs are bfloat16.
TEST(FrameCodecTest, F8RowsCarryTheirScales) {
  DispatchFrame frame = TestFrame(3, 3, 8, 2);
  frame.dtype = compute::DType::kF8E4M3;
  frame.rows = FrameBuffer(3 * (8 + 4));
  std::fill(frame.rows.mutable_bytes().begin(), frame.rows.mutable_bytes().end(), std::byte{0x7f});
  EXPECT_EQ(OutputBytes(frame), 6 * 8 * 2);
  const DecodedDispatch decoded = DecodeDispatch(EncodeDispatch(9, frame, kNow), kNow);
  ASSERT_TRUE(decoded.frame.ok()) << decoded.frame.status();
  ExpectSame(*decoded.frame, frame);
  for (const size_t wrong : {3 * 8, 3 * (8 + 4) - 1, 3 * (8 + 4) + 1, 0}) {
    frame.rows = FrameBuffer(wrong);
    const DecodedDispatch refused = DecodeDispatch(EncodeDispatch(9, frame, kNow), kNow);
    EXPECT_EQ(refused.frame_id, 9);
    EXPECT_EQ(refused.frame.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(refused.frame.status().message(), HasSubstr("3 rows of 8 float8_e4m3fn are 36 bytes, got "));
  }
}

TEST(FrameCodecTest, CombineRoundTrip) {
  CombineFrame frame{.outputs = ExpectedOutputs(TestFrame(1, 3, 8, 2)),
                     .compute_time = absl::Microseconds(12),
                     .queue_time = absl::Microseconds(34)};
  for (const size_t slice_size : {1, 7, 1000}) {
    const DecodedCombine decoded = DecodeCombine(Message(Bytes(EncodeCombine(5, frame)), slice_size));
    EXPECT_EQ(decoded.frame_id, 5);
    ASSERT_TRUE(decoded.result.ok()) << decoded.result.status();
    EXPECT_TRUE(decoded.result->outputs.bytes() == frame.outputs.bytes());
    EXPECT_EQ(decoded.result->compute_time, frame.compute_time);
    EXPECT_EQ(decoded.result->queue_time, frame.queue_time);
  }
}

TEST(FrameCodecTest, CombineCarriesErrors) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "layer 1: \xff\x00 why");
    const DecodedCombine decoded = DecodeCombine(EncodeCombine(5, status));
    EXPECT_EQ(decoded.frame_id, 5);
    EXPECT_EQ(decoded.result.status(), status);
  }
  wire::ExchangeResponse unknown;
  unknown.set_frame_id(6);
  unknown.set_status_code(-7);
  EXPECT_EQ(DecodeCombine(Message(unknown.SerializeAsString())).result.status().code(), absl::StatusCode::kUnknown);
}

TEST(FrameCodecTest, ChecksumsTravelWithTheMessage) {
  const DispatchFrame frame = TestFrame(3, 2, 4, 2);
  const std::string bytes = Bytes(EncodeDispatch(9, frame, kNow, Checksums::kOn));
  for (const size_t slice_size : {1, 13, 1000}) {
    const DecodedDispatch decoded = DecodeDispatch(Message(bytes, slice_size), kNow, Checksums::kOn);
    EXPECT_EQ(decoded.frame_id, 9);
    ASSERT_TRUE(decoded.frame.ok()) << decoded.frame.status();
    ExpectSame(*decoded.frame, frame);
  }
  wire::ExchangeRequest message;
  ASSERT_TRUE(message.ParseFromString(bytes));
  EXPECT_NE(message.checksum(), 0);
  EXPECT_TRUE(DecodeDispatch(Message(bytes), kNow).frame.ok()) << "who wants none does not look at them";
  EXPECT_THAT(DecodeDispatch(EncodeDispatch(9, frame, kNow), kNow, Checksums::kOn).frame.status().message(),
              HasSubstr("no checksum"));
  const absl::Status error = absl::NotFoundError("layer 3");
  EXPECT_EQ(DecodeCombine(EncodeCombine(5, error, Checksums::kOn), Checksums::kOn).result.status(), error);
}

// With checksums no damage goes unnoticed: every single byte, in every bit.
TEST(FrameCodecTest, ChecksumsFindEveryDamagedByte) {
  const std::string request = Bytes(EncodeDispatch(9, TestFrame(3, 2, 4, 2), kNow, Checksums::kOn));
  const CombineFrame outputs{.outputs = ExpectedOutputs(TestFrame(1, 2, 4, 2)), .compute_time = absl::Microseconds(1)};
  const std::string response = Bytes(EncodeCombine(9, outputs, Checksums::kOn));
  const auto with_bit = [](std::string bytes, size_t i) {
    bytes[i / 8] = static_cast<char>(bytes[i / 8] ^ (1 << i % 8));
    return Message(bytes);
  };
  int answerable = 0;
  for (size_t i = 0; i < request.size() * 8; ++i) {
    const DecodedDispatch decoded = DecodeDispatch(with_bit(request, i), kNow, Checksums::kOn);
    ASSERT_FALSE(decoded.frame.ok()) << "bit " << i;
    ASSERT_TRUE(decoded.frame_id == 0 || decoded.frame_id == 9) << "no other frame is blamed: " << decoded.frame_id;
    answerable += decoded.frame_id == 9 && absl::IsDataLoss(decoded.frame.status());
  }
  EXPECT_GE(answerable, 2 * 4 * 4 * 8) << "damaged rows are the frame's own error";
  for (size_t i = 0; i < response.size() * 8; ++i) {
    const DecodedCombine decoded = DecodeCombine(with_bit(response, i), Checksums::kOn);
    ASSERT_FALSE(decoded.result.ok()) << "bit " << i;
    ASSERT_TRUE(decoded.frame_id == 0 || decoded.frame_id == 9) << decoded.frame_id;
  }
}

// What a frame's fields must not be; each case changes a good message.
struct BadField {
  std::string name;
  void (*spoil)(wire::ExchangeRequest&);
  std::string expected;
};

class BadFieldTest : public ::testing::TestWithParam<BadField> {};

TEST_P(BadFieldTest, IsRefusedButAnswerable) {
  wire::ExchangeRequest message;
  ASSERT_TRUE(message.ParseFromString(Bytes(EncodeDispatch(9, TestFrame(3, 2, 4, 2), kNow))));
  GetParam().spoil(message);
  const DecodedDispatch decoded = DecodeDispatch(Message(message.SerializeAsString()), kNow);
  EXPECT_EQ(decoded.frame_id, 9);
  EXPECT_EQ(decoded.frame.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(decoded.frame.status().message(), HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadFieldTest,
    ::testing::Values(
        BadField{"Layer", [](wire::ExchangeRequest& m) { m.set_layer(-1); }, "layer -1"},
        BadField{"DType", [](wire::ExchangeRequest& m) { m.set_dtype(wire::DTYPE_F16); }, "float16"},
        BadField{"OtherRowSize", [](wire::ExchangeRequest& m) { m.set_dtype(wire::DTYPE_F8_E4M3); },
                 "are 16 bytes, got 32"},
        BadField{"NoDType", [](wire::ExchangeRequest& m) { m.set_dtype(wire::DTYPE_UNSPECIFIED); }, "dtype 0"},
        BadField{"NegativeRows", [](wire::ExchangeRequest& m) { m.set_num_rows(-2); }, "num_rows -2"},
        BadField{"MoreRows", [](wire::ExchangeRequest& m) { m.set_num_rows(3); }, "are 48 bytes, got 32"},
        BadField{"HugeRows", [](wire::ExchangeRequest& m) { m.set_num_rows(INT32_MAX); }, "got 32"},
        BadField{"HugeAll",
                 [](wire::ExchangeRequest& m) {
                   m.set_num_rows(INT32_MAX);
                   m.set_hidden_size(INT32_MAX);
                 },
                 "got 32"},
        BadField{"ZeroHidden", [](wire::ExchangeRequest& m) { m.set_hidden_size(0); }, "hidden_size 0"},
        BadField{"NoPayload", [](wire::ExchangeRequest& m) { m.clear_rows(); }, "got 0"},
        BadField{"PairCount", [](wire::ExchangeRequest& m) { m.add_pair_rows(0); }, "5 pair_rows but 4 pair_experts"},
        BadField{"PairRow", [](wire::ExchangeRequest& m) { m.set_pair_rows(3, 2); }, "out of range"},
        BadField{"NegativePairRow", [](wire::ExchangeRequest& m) { m.set_pair_rows(0, -1); }, "out of range"},
        BadField{"NegativeExpert", [](wire::ExchangeRequest& m) { m.set_pair_experts(0, -1); }, "out of range"},
        BadField{"Unsorted", [](wire::ExchangeRequest& m) { m.set_pair_experts(0, 1); }, "not sorted"},
        BadField{"Repeated", [](wire::ExchangeRequest& m) { m.set_pair_rows(1, 0); }, "not sorted"}),
    [](const auto& info) { return info.param.name; });

TEST(FrameCodecTest, RefusesMessagesThatAreNotOurs) {
  const std::string good = Bytes(EncodeDispatch(9, TestFrame(3, 2, 4, 2), kNow));
  for (const std::string& bad :
       {std::string(), good + '\x08', good + good, good.substr(0, good.size() - 1),
        std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11), std::string("\x7a", 1),
        std::string("\x7a\xff\xff\xff\xff\x0f", 6), std::string("\x0b\x0c", 2)}) {
    const DecodedDispatch decoded = DecodeDispatch(Message(bad), kNow);
    EXPECT_EQ(decoded.frame_id, 0);
    EXPECT_EQ(decoded.frame.status().code(), absl::StatusCode::kInvalidArgument) << decoded.frame.status();
  }
  EXPECT_EQ(DecodeCombine(Message("\xff")).result.status().code(), absl::StatusCode::kInternal);
}

// Whatever happens to the bytes, the result is an error or a frame that is sound.
TEST(FrameCodecTest, SurvivesMutations) {
  const std::string request = Bytes(EncodeDispatch(9, TestFrame(3, 3, 4, 3), kNow));
  const std::string response = Bytes(EncodeCombine(
      9, CombineFrame{
             .outputs = FrameBuffer(40), .compute_time = absl::Microseconds(1), .queue_time = absl::Microseconds(2)}));
  std::mt19937 random(7);
  int sound = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = i % 4 == 3 ? response : request;
    for (uint32_t n = 1 + random() % 4; n > 0; --n) {
      const size_t at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.insert(at, 1, static_cast<char>(random()));
          break;
        default:
          bytes.erase(at, 1 + random() % 3);
      }
      if (bytes.empty()) {
        break;
      }
    }
    const grpc::ByteBuffer message = Message(bytes, 1 + random() % 64);
    const DecodedDispatch decoded = DecodeDispatch(message, kNow);
    if (decoded.frame.ok()) {
      ++sound;
      EXPECT_NE(decoded.frame_id, 0);
      EXPECT_EQ(ValidateDispatch(*decoded.frame), absl::OkStatus());
    }
    const DecodedCombine answer = DecodeCombine(message);
    if (answer.result.ok()) {
      EXPECT_LE(answer.result->outputs.size(), bytes.size());
    }
  }
  EXPECT_GT(sound, 100) << "the mutations are too rough to test anything behind the parser";
}

}  // namespace
}  // namespace tandem::transport

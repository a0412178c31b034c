// Answers tokenizer requests over stdin and stdout, for compare.py.
//
//   tokenizer_tool MODEL_DIR
//
// A request is a command byte, a little-endian uint32 size and that many bytes; the answer is a uint32 size and bytes.
// Ids are little-endian int32. On an error the answer's size is 0xFFFFFFFF, followed by a size and the message.
//   E text  encode with special tokens        e text  encode without
//   u text  encode as a user's span           p spans encode spans: each a byte (parse_special), uint32 size, text
//   D ids   decode                            d ids   decode, special tokens skipped
//   I ids   incremental decode                i ids   incremental decode, special tokens skipped
//   B id    the bytes of one token
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

namespace {

using tandem::model::EncodeOptions;
using tandem::model::IncrementalDecoder;
using tandem::model::TextSpan;
using tandem::model::Tokenizer;

bool ReadExactly(void* data, size_t size) { return std::fread(data, 1, size, stdin) == size; }

void WriteBlock(absl::string_view bytes) {
  const uint32_t size = static_cast<uint32_t>(bytes.size());
  std::fwrite(&size, sizeof(size), 1, stdout);
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

std::string ToBytes(const std::vector<int32_t>& ids) {
  return std::string(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t));
}

std::vector<int32_t> ToIds(const std::string& bytes) {
  std::vector<int32_t> ids(bytes.size() / sizeof(int32_t));
  std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(int32_t));
  return ids;
}

absl::StatusOr<std::vector<TextSpan>> ToSpans(absl::string_view bytes) {
  std::vector<TextSpan> spans;
  while (!bytes.empty()) {
    uint32_t size = 0;
    if (bytes.size() < 1 + sizeof(size)) return absl::InvalidArgumentError("a span is cut off");
    const bool parse_special = bytes[0] != 0;
    std::memcpy(&size, bytes.data() + 1, sizeof(size));
    bytes.remove_prefix(1 + sizeof(size));
    if (bytes.size() < size) return absl::InvalidArgumentError("a span is cut off");
    spans.push_back({bytes.substr(0, size), parse_special});
    bytes.remove_prefix(size);
  }
  return spans;
}

absl::StatusOr<std::string> Encoded(absl::StatusOr<std::vector<int32_t>> ids) {
  if (!ids.ok()) return ids.status();
  return ToBytes(*ids);
}

// Every piece must be whole characters by itself.
absl::StatusOr<std::string> DecodeStepwise(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool skip) {
  IncrementalDecoder decoder(tokenizer, skip);
  std::string text;
  for (size_t i = 0; i <= ids.size(); ++i) {
    const std::string piece = i < ids.size() ? decoder.Push(ids[i]) : decoder.Flush();
    if (!tandem::model::tokenizer::IsValidUtf8(piece)) {
      return absl::InternalError(absl::StrCat("step ", i, " emitted a part of a character"));
    }
    text += piece;
  }
  return text;
}

absl::StatusOr<std::string> Answer(const Tokenizer& tokenizer, char command, const std::string& body) {
  switch (command) {
    case 'E':
      return Encoded(tokenizer.Encode(body));
    case 'e':
      return Encoded(tokenizer.Encode(body, {.add_special_tokens = false}));
    case 'u':
      return Encoded(tokenizer.Encode(body, {.add_special_tokens = false, .parse_special = false}));
    case 'p': {
      absl::StatusOr<std::vector<TextSpan>> spans = ToSpans(body);
      if (!spans.ok()) return spans.status();
      return Encoded(tokenizer.EncodeSpans(*spans, {.add_special_tokens = false}));
    }
    case 'D':
    case 'd':
      return tokenizer.Decode(ToIds(body), command == 'd');
    case 'I':
    case 'i':
      return DecodeStepwise(tokenizer, ToIds(body), command == 'i');
    case 'B':
      return body.size() == sizeof(int32_t) ? tokenizer.TokenBytes(ToIds(body)[0])
                                            : absl::StatusOr<std::string>(absl::InvalidArgumentError("one id, please"));
    default:
      return absl::InvalidArgumentError("unknown command");
  }
}

int Serve(const Tokenizer& tokenizer) {
  char command = 0;
  uint32_t size = 0;
  while (ReadExactly(&command, 1) && ReadExactly(&size, sizeof(size))) {
    std::string body(size, '\0');
    if (!ReadExactly(body.data(), size)) return 1;
    const absl::StatusOr<std::string> answer = Answer(tokenizer, command, body);
    if (answer.ok()) {
      WriteBlock(*answer);
    } else {
      const uint32_t failed = 0xFFFFFFFF;
      std::fwrite(&failed, sizeof(failed), 1, stdout);
      WriteBlock(answer.status().ToString());
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tokenizer_tool MODEL_DIR\n";
    return 2;
  }
  const auto tokenizer = Tokenizer::Load(argv[1]);
  if (!tokenizer.ok()) {
    std::cerr << tokenizer.status() << "\n";
    return 1;
  }
  return Serve(**tokenizer);
}

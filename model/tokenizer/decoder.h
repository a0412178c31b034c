// The "decoder" block of tokenizer.json, as a chain of streaming stages: tokens go in one by one, text comes out as
// soon as it can no longer change. Decoding a whole list is the same chain run to its end, so both always agree.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/json_fields.h"

namespace tandem::model::tokenizer {

// A stage of a running chain. Not thread-safe.
class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  // Takes one token (valid UTF-8) and hands what is decided to the next stage.
  virtual void Push(absl::string_view token) = 0;
  // No more tokens: hands on the rest. Does not call the next stage's Finish.
  virtual void Finish() {}

  void set_next(DecodeStage* next) { next_ = next; }

 protected:
  void Emit(absl::string_view token) { next_->Push(token); }

 private:
  DecodeStage* next_ = nullptr;
};

// A running chain. Not thread-safe.
class DecodeStream {
 public:
  explicit DecodeStream(std::vector<std::unique_ptr<DecodeStage>> stages);

  // Appends to `out` the text that `token` decides. Never ends within a character.
  void Push(absl::string_view token, std::string* out);
  // Ends the text; the stream is then spent.
  void Finish(std::string* out);

 private:
  class Output;
  std::vector<std::unique_ptr<DecodeStage>> stages_;  // the last one is output_
  Output* output_;
};

// The parsed block. Immutable and thread-safe.
class Decoder {
 public:
  // A missing block joins tokens with spaces. Errors: INVALID_ARGUMENT, UNIMPLEMENTED naming an unknown type.
  static absl::StatusOr<Decoder> FromJson(std::optional<JsonValue> value);

  DecodeStream NewStream() const;

  // What `token` contributes by itself, as raw bytes: maybe part of a character, and with its leading space.
  std::string TokenBytes(absl::string_view token) const;

 private:
  friend class DecoderParser;
  struct Step {
    std::function<std::unique_ptr<DecodeStage>()> make_stage;
    std::function<void(std::string*)> to_bytes;  // the step's part in TokenBytes; may be empty
  };

  std::vector<Step> steps_;
};

}  // namespace tandem::model::tokenizer

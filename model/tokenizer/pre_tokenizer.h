// The "pre_tokenizer" block of tokenizer.json: cuts normalized text into the words that the model encodes one by one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/tokenizer/json_fields.h"

namespace tandem::model::tokenizer {

struct Piece {
  uint32_t begin;
  uint32_t end;
};

// A text and the pieces it is cut into: in order, not empty, not overlapping; bytes between pieces are dropped.
// Not thread-safe; reuse one object for many texts to spare allocations.
class PieceList {
 public:
  // Starts over with `text` (valid UTF-8, below 4 GiB, kept by the caller) as one piece, or none if it is empty.
  // `at_origin`: the text begins where the whole input begins.
  void Reset(absl::string_view text, bool at_origin);

  absl::string_view text() const { return text_; }
  bool at_origin() const { return at_origin_; }
  const std::vector<Piece>& pieces() const { return pieces_; }
  absl::string_view TextOf(Piece piece) const { return text_.substr(piece.begin, piece.end - piece.begin); }

  // The next list of pieces is built with Add and takes effect with Commit.
  void Add(size_t begin, size_t end) {
    if (begin < end) next_pieces_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
  }
  void Commit();

  // The same for steps that rewrite text: AddText copies, CommitText makes the copies the text.
  void AddText(absl::string_view text);
  void CommitText();

 private:
  absl::string_view text_;
  bool at_origin_ = false;
  std::vector<Piece> pieces_;
  std::vector<Piece> next_pieces_;
  std::string text_storage_;
  std::string next_text_;
};

// One step of the pipeline. Immutable and thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts or rewrites every piece. Errors: RESOURCE_EXHAUSTED from a regex that meets hostile text.
  virtual absl::Status Apply(PieceList* list) const = 0;
};

struct PreTokenizerPipeline {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  // The pieces are to be encoded byte by byte (ByteLevel came last), so the byte alphabet need not be written out.
  bool byte_level = false;
};

// Reads the block. Errors: INVALID_ARGUMENT, UNIMPLEMENTED naming an unknown type.
absl::StatusOr<PreTokenizerPipeline> ParsePreTokenizer(std::optional<JsonValue> value);

}  // namespace tandem::model::tokenizer

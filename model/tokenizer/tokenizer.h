// Hugging Face tokenizers: text to token ids and back, as described by a model's tokenizer.json.
//
// Ids and texts equal those of the `tokenizers` library for BPE models with the components named in README.md; a file
// that needs anything else is refused when it is loaded.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tandem::model {

namespace tokenizer {
class DecodeStream;
}  // namespace tokenizer

// A stretch of a prompt. Where `parse_special` is false (text that came from a user), control tokens written out in the
// text stay plain text, so that a user cannot forge a turn. Control tokens are the special added tokens and those
// written <|...|> or <｜...｜>; other added tokens are recognised everywhere.
struct TextSpan {
  absl::string_view text;
  bool parse_special = true;
};

struct EncodeOptions {
  bool add_special_tokens = true;     // put the post-processor's tokens, such as <s>, around the text
  bool parse_special = true;          // see TextSpan
  bool replace_invalid_utf8 = false;  // take ill-formed bytes as U+FFFD instead of failing
};

// Immutable after loading: all methods are thread-safe.
class Tokenizer {
 public:
  // Longest text, or sum of spans, that can be encoded; also after normalization.
  static constexpr size_t kMaxTextBytes = size_t{256} << 20;

  // Reads `model_dir`/tokenizer.json. Errors: NOT_FOUND, and those of FromJson.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& model_dir);

  // Errors: INVALID_ARGUMENT for a broken file, naming the field; UNIMPLEMENTED for a model type, component or option
  // that is not supported, naming it.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(absl::string_view tokenizer_json);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Errors: INVALID_ARGUMENT if the text is not valid UTF-8 or longer than kMaxTextBytes, RESOURCE_EXHAUSTED if a split
  // regex gives up on it.
  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text, const EncodeOptions& options = {}) const;

  // Encodes the concatenation of the spans. Words may cross borders of spans; a control token is recognised only where
  // all its bytes allow it. `options.parse_special` is ignored. With parse_special everywhere this is Encode of the
  // concatenation.
  absl::StatusOr<std::vector<int32_t>> EncodeSpans(absl::Span<const TextSpan> spans,
                                                   const EncodeOptions& options = {}) const;

  // Text of the ids: valid UTF-8, U+FFFD where bytes do not form characters. Ids that name no token are left out.
  std::string Decode(absl::Span<const int32_t> ids, bool skip_special_tokens = true) const;

  // One more than the largest id; the rows an embedding table needs at least.
  int32_t vocab_size() const;

  // The raw bytes that `id` stands for, maybe a part of a character; empty if `id` names no token.
  std::string TokenBytes(int32_t id) const;

  // Whether `id` is an added token marked special. False for ids that name no token.
  bool IsSpecial(int32_t id) const;

  // The id of a token as written in the file ("<|im_end|>", or "Ġhello" in byte-level vocabularies).
  std::optional<int32_t> TokenToId(absl::string_view token) const;

 private:
  friend class IncrementalDecoder;
  struct Parts;

  explicit Tokenizer(std::unique_ptr<Parts> parts);

  tokenizer::DecodeStream NewDecodeStream() const;
  // The token that `id` adds to a decoded text, or nullopt if it adds none.
  std::optional<absl::string_view> DecodedToken(int32_t id, bool skip_special_tokens) const;

  std::unique_ptr<Parts> parts_;
};

// Decodes ids as they are generated. The concatenation of everything returned equals Tokenizer::Decode of all ids.
// Not thread-safe; one per sequence.
class IncrementalDecoder {
 public:
  // `tokenizer` must outlive the decoder. The tokens `visible` are never skipped.
  explicit IncrementalDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true,
                              std::vector<int32_t> visible = {});
  ~IncrementalDecoder();
  IncrementalDecoder(IncrementalDecoder&&) noexcept;
  IncrementalDecoder& operator=(IncrementalDecoder&&) noexcept;

  // The text that `id` makes final, often empty; always whole characters. Byte-fallback tokens are held back until
  // another token follows, because they decode as a run.
  std::string Push(int32_t id);

  // The rest; an unfinished character becomes U+FFFD. The decoder then starts over.
  std::string Flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<int32_t> visible_;
  std::unique_ptr<tokenizer::DecodeStream> stream_;
};

}  // namespace tandem::model

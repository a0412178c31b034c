#include "model/tokenizer/tokenizer.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "model/tokenizer/added_vocabulary.h"
#include "model/tokenizer/bpe_model.h"
#include "model/tokenizer/decoder.h"
#include "model/tokenizer/json_fields.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/post_processor.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/trust_map.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model {
namespace {

using namespace tokenizer;  // the parts

// What one running Encode works with.
struct EncodeScratch {
  BpeModel::Scratch bpe;
  PieceList pieces;
};

// Normalized text between added tokens.
struct TextPart {
  absl::string_view text;
  bool at_origin;   // begins where the input begins
  bool is_trusted;  // nothing in it came from a user
};

// Lends a scratch to each running Encode and keeps the returned ones, warm caches included. Thread-safe.
class ScratchPool {
 public:
  std::unique_ptr<EncodeScratch> Take() {
    absl::MutexLock lock(&mutex_);
    if (idle_.empty()) return std::make_unique<EncodeScratch>();
    std::unique_ptr<EncodeScratch> scratch = std::move(idle_.back());
    idle_.pop_back();
    return scratch;
  }

  void Return(std::unique_ptr<EncodeScratch> scratch) {
    absl::MutexLock lock(&mutex_);
    if (idle_.size() < kMaxIdle) idle_.push_back(std::move(scratch));
  }

 private:
  static constexpr size_t kMaxIdle = 16;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<EncodeScratch>> idle_ ABSL_GUARDED_BY(mutex_);
};

absl::Status CheckSize(size_t bytes) {
  if (bytes <= Tokenizer::kMaxTextBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the text has ", bytes, " bytes, at most ", Tokenizer::kMaxTextBytes, " can be encoded"));
}

}  // namespace

struct Tokenizer::Parts {
  std::unique_ptr<Normalizer> normalizer;  // may be null
  PreTokenizerPipeline pre_tokenizer;
  std::unique_ptr<BpeModel> model;
  AddedVocabulary added;
  PostProcessor post_processor;
  Decoder decoder;
  ScratchPool scratch_pool;

  absl::Status EncodeText(absl::string_view text, const TrustMap& trust, std::vector<int32_t>* ids);
  absl::Status EncodeSegment(absl::string_view segment, bool at_origin, const TrustMap& trust, EncodeScratch* scratch,
                             std::vector<int32_t>* ids) const;
  absl::Status EncodePlain(const TextPart& part, EncodeScratch* scratch, std::vector<int32_t>* ids) const;
};

absl::Status Tokenizer::Parts::EncodeText(absl::string_view text, const TrustMap& trust, std::vector<int32_t>* ids) {
  std::unique_ptr<EncodeScratch> scratch = scratch_pool.Take();
  const auto allowed = [&trust](const AddedToken& token, size_t begin, size_t end) {
    return trust.all_trusted() || !token.IsControl() || trust.IsTrusted(begin, end);
  };
  for (const AddedTokenMatcher::Part& part : added.raw_matcher().Split(text, allowed)) {
    if (part.id) {
      ids->push_back(*part.id);
      continue;
    }
    RETURN_IF_ERROR(EncodeSegment(text.substr(part.begin, part.end - part.begin), part.begin == 0,
                                  trust.Slice(part.begin, part.end), scratch.get(), ids));
  }
  scratch_pool.Return(std::move(scratch));
  return absl::OkStatus();
}

absl::Status Tokenizer::Parts::EncodeSegment(absl::string_view segment, bool at_origin, const TrustMap& trust,
                                             EncodeScratch* scratch, std::vector<int32_t>* ids) const {
  std::string storage;
  absl::string_view text = segment;
  TrustMap text_trust = trust;
  if (normalizer != nullptr) {
    storage = std::string(segment);
    RETURN_IF_ERROR(normalizer->Apply(&storage));
    RETURN_IF_ERROR(CheckSize(storage.size()));
    text = storage;
    ASSIGN_OR_RETURN(text_trust, trust.Normalized(segment, text, *normalizer));
  }
  const auto allowed = [&text_trust](const AddedToken& token, size_t begin, size_t end) {
    return text_trust.all_trusted() || !token.IsControl() || text_trust.IsTrusted(begin, end);
  };
  for (const AddedTokenMatcher::Part& part : added.normalized_matcher().Split(text, allowed)) {
    if (part.id) {
      ids->push_back(*part.id);
      continue;
    }
    const TextPart plain{text.substr(part.begin, part.end - part.begin), at_origin && part.begin == 0,
                         text_trust.all_trusted()};
    RETURN_IF_ERROR(EncodePlain(plain, scratch, ids));
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::Parts::EncodePlain(const TextPart& part, EncodeScratch* scratch,
                                           std::vector<int32_t>* ids) const {
  PieceList& pieces = scratch->pieces;
  pieces.Reset(part.text, part.at_origin);
  for (const std::unique_ptr<PreTokenizer>& step : pre_tokenizer.steps) {
    RETURN_IF_ERROR(step->Apply(&pieces));
  }
  for (const Piece piece : pieces.pieces()) {
    model->EncodeWord(pieces.TextOf(piece), !part.is_trusted, &scratch->bpe, ids);
  }
  return absl::OkStatus();
}

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& model_dir) {
  const std::string path = absl::StrCat(model_dir, "/tokenizer.json");
  auto file = simdjson::padded_string::load(path);
  if (file.error() != simdjson::SUCCESS) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, "; the model directory must contain tokenizer.json"));
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = FromJson(ToAbsl(std::string_view(file.value_unsafe())));
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(absl::string_view tokenizer_json) {
  simdjson::dom::parser parser;
  JsonValue document;
  if (const auto error = parser.parse(tokenizer_json.data(), tokenizer_json.size()).get(document)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json is not valid JSON: ", simdjson::error_message(error)));
  }
  ASSIGN_OR_RETURN(const JsonObject root, AsObject(document, "the document"));
  const std::optional<JsonValue> model = Field(root, "model");
  if (!model) return absl::InvalidArgumentError("tokenizer.json: model is missing");
  // The truncation and padding blocks are for training batches: a server takes the whole text, as it is.
  auto parts = std::make_unique<Parts>();
  ASSIGN_OR_RETURN(parts->normalizer, ParseNormalizer(Field(root, "normalizer")));
  ASSIGN_OR_RETURN(parts->pre_tokenizer, ParsePreTokenizer(Field(root, "pre_tokenizer")));
  ASSIGN_OR_RETURN(parts->model, BpeModel::FromJson(*model, parts->pre_tokenizer.byte_level));
  ASSIGN_OR_RETURN(parts->added,
                   AddedVocabulary::FromJson(Field(root, "added_tokens"), *parts->model, parts->normalizer.get()));
  parts->model->SetControlTokens(parts->added.ControlIds());
  ASSIGN_OR_RETURN(parts->post_processor, PostProcessor::FromJson(Field(root, "post_processor")));
  ASSIGN_OR_RETURN(parts->decoder, Decoder::FromJson(Field(root, "decoder")));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(absl::string_view text, const EncodeOptions& options) const {
  const TextSpan span{text, options.parse_special};
  return EncodeSpans(absl::MakeConstSpan(&span, 1), options);
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::EncodeSpans(absl::Span<const TextSpan> spans,
                                                            const EncodeOptions& options) const {
  TrustMap trust;
  std::string joined;
  absl::string_view text;
  size_t total = 0;
  for (const TextSpan& span : spans) total += span.text.size();
  RETURN_IF_ERROR(CheckSize(total));
  const bool one_valid_span = spans.size() == 1 && IsValidUtf8(spans[0].text);
  if (one_valid_span) {
    text = spans[0].text;
    trust.Add(text.size(), spans[0].parse_special);
  } else {
    for (size_t i = 0; i < spans.size(); ++i) {
      std::string part(spans[i].text);
      if (!IsValidUtf8(part)) {
        if (!options.replace_invalid_utf8) {
          return absl::InvalidArgumentError(absl::StrCat("span ", i, " of the text is not valid UTF-8"));
        }
        part = ReplaceInvalidUtf8(part);
      }
      joined += part;
      trust.Add(part.size(), spans[i].parse_special);
    }
    text = joined;
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  const PostProcessor& post = parts_->post_processor;
  if (options.add_special_tokens) ids.insert(ids.end(), post.prefix().begin(), post.prefix().end());
  RETURN_IF_ERROR(parts_->EncodeText(text, trust, &ids));
  if (options.add_special_tokens) ids.insert(ids.end(), post.suffix().begin(), post.suffix().end());
  return ids;
}

std::string Tokenizer::Decode(absl::Span<const int32_t> ids, bool skip_special_tokens) const {
  DecodeStream stream = NewDecodeStream();
  std::string text;
  for (const int32_t id : ids) {
    if (const auto token = DecodedToken(id, skip_special_tokens)) stream.Push(*token, &text);
  }
  stream.Finish(&text);
  return text;
}

DecodeStream Tokenizer::NewDecodeStream() const { return parts_->decoder.NewStream(); }

std::optional<absl::string_view> Tokenizer::DecodedToken(int32_t id, bool skip_special_tokens) const {
  if (parts_->added.Find(id) != nullptr) {
    if (skip_special_tokens && parts_->added.IsSkipped(id)) return std::nullopt;
    return parts_->added.TextOf(id);
  }
  return parts_->model->Has(id) ? std::optional<absl::string_view>(parts_->model->IdToToken(id)) : std::nullopt;
}

int32_t Tokenizer::vocab_size() const { return std::max(parts_->model->id_limit(), parts_->added.id_limit()); }

std::string Tokenizer::TokenBytes(int32_t id) const {
  if (const AddedToken* token = parts_->added.Find(id)) return token->content;
  return parts_->decoder.TokenBytes(parts_->model->IdToToken(id));
}

bool Tokenizer::IsSpecial(int32_t id) const {
  const AddedToken* token = parts_->added.Find(id);
  return token != nullptr && token->special;
}

std::optional<int32_t> Tokenizer::TokenToId(absl::string_view token) const {
  const std::optional<int32_t> added = parts_->added.TokenToId(token);
  return added ? added : parts_->model->TokenToId(token);
}

IncrementalDecoder::IncrementalDecoder(const Tokenizer& tokenizer, bool skip_special_tokens,
                                       std::vector<int32_t> visible)
    : tokenizer_(&tokenizer),
      skip_special_tokens_(skip_special_tokens),
      visible_(std::move(visible)),
      stream_(std::make_unique<DecodeStream>(tokenizer.NewDecodeStream())) {}

IncrementalDecoder::~IncrementalDecoder() = default;
IncrementalDecoder::IncrementalDecoder(IncrementalDecoder&&) noexcept = default;
IncrementalDecoder& IncrementalDecoder::operator=(IncrementalDecoder&&) noexcept = default;

std::string IncrementalDecoder::Push(int32_t id) {
  std::string text;
  const bool skip = skip_special_tokens_ && std::find(visible_.begin(), visible_.end(), id) == visible_.end();
  if (const auto token = tokenizer_->DecodedToken(id, skip)) stream_->Push(*token, &text);
  return text;
}

std::string IncrementalDecoder::Flush() {
  std::string text;
  stream_->Finish(&text);
  *stream_ = tokenizer_->NewDecodeStream();
  return text;
}

}  // namespace tandem::model

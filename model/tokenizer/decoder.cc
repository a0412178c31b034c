#include "model/tokenizer/decoder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/decode_stages.h"
#include "model/tokenizer/metaspace.h"
#include "model/tokenizer/regex.h"

namespace tandem::model::tokenizer {
namespace {

constexpr absl::string_view kWhere = "decoder";
constexpr int64_t kMaxStrip = 1 << 20;

absl::StatusOr<size_t> CountField(JsonObject object, absl::string_view key) {
  const std::optional<JsonValue> value = Field(object, key);
  int64_t count = 0;
  if (!value || value->get(count) != simdjson::SUCCESS || count < 0 || count > kMaxStrip) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json: decoder.", key, " must be an integer from 0 to ", kMaxStrip));
  }
  return static_cast<size_t>(count);
}

}  // namespace

class DecodeStream::Output : public DecodeStage {
 public:
  void Push(absl::string_view token) override { target->append(token.data(), token.size()); }
  std::string* target = nullptr;
};

DecodeStream::DecodeStream(std::vector<std::unique_ptr<DecodeStage>> stages) : stages_(std::move(stages)) {
  auto output = std::make_unique<Output>();
  output_ = output.get();
  stages_.push_back(std::move(output));
  for (size_t i = 0; i + 1 < stages_.size(); ++i) {
    stages_[i]->set_next(stages_[i + 1].get());
  }
}

void DecodeStream::Push(absl::string_view token, std::string* out) {
  output_->target = out;
  stages_.front()->Push(token);
}

void DecodeStream::Finish(std::string* out) {
  output_->target = out;
  for (const std::unique_ptr<DecodeStage>& stage : stages_) stage->Finish();
}

class DecoderParser {
 public:
  absl::Status Parse(JsonValue value, int depth) {
    ASSIGN_OR_RETURN(const JsonObject object, AsObject(value, kWhere));
    ASSIGN_OR_RETURN(const absl::string_view type, StringField(object, "type", kWhere));
    if (type == "Sequence") return ParseSequence(object, depth);
    if (type == "Replace") return ParseReplace(object);
    if (type == "Strip") return ParseStrip(object);
    if (type == "Metaspace") return ParseMetaspaceStep(object);
    if (type == "ByteLevel") {
      AddWhole([] { return std::make_unique<ByteLevelStage>(); },
               [](std::string* token) {
                 if (std::optional<std::string> bytes = BytesFromAlphabet(*token)) *token = std::move(*bytes);
               });
      fused_ = true;
    } else if (type == "ByteFallback") {
      AddWhole([] { return std::make_unique<ByteFallbackStage>(); },
               [](std::string* token) {
                 const int byte = ByteOfFallbackToken(*token);
                 if (byte >= 0) token->assign(1, static_cast<char>(byte));
               });
    } else if (type == "Fuse") {
      fused_ = true;
    } else {
      return absl::UnimplementedError(absl::StrCat("tokenizer.json: decoder type ", type, " is not supported"));
    }
    return absl::OkStatus();
  }

  void AddJoin() {
    Add([] { return std::make_unique<JoinStage>(); });
  }

  Decoder Take() { return std::move(decoder_); }

 private:
  using MakeStage = std::function<std::unique_ptr<DecodeStage>()>;
  using ToBytes = std::function<void(std::string*)>;

  void Add(MakeStage make, ToBytes to_bytes = nullptr) {
    decoder_.steps_.push_back({std::move(make), std::move(to_bytes)});
  }

  // For stages that need whole tokens.
  void AddWhole(MakeStage make, ToBytes to_bytes = nullptr) {
    if (fused_) Add([] { return std::make_unique<BufferStage>(); });
    Add(std::move(make), std::move(to_bytes));
  }

  absl::Status ParseSequence(JsonObject object, int depth) {
    RETURN_IF_ERROR(CheckDepth(depth, kWhere));
    ASSIGN_OR_RETURN(const JsonArray children, ArrayField(object, "decoders", kWhere));
    for (const JsonValue child : children) {
      RETURN_IF_ERROR(Parse(child, depth + 1));
    }
    return absl::OkStatus();
  }

  absl::Status ParseReplace(JsonObject object) {
    ASSIGN_OR_RETURN(const PatternField pattern, ParsePatternField(object, kWhere));
    ASSIGN_OR_RETURN(const absl::string_view content_view, StringField(object, "content", kWhere));
    const std::string content(content_view);
    if (pattern.is_regex || pattern.text.empty()) {
      ASSIGN_OR_RETURN(Regex compiled, Regex::Compile(pattern.text));
      const auto regex = std::make_shared<const Regex>(std::move(compiled));
      AddWhole([regex, content] { return std::make_unique<ReplaceRegexStage>(regex.get(), content); });
      return absl::OkStatus();
    }
    const std::string literal = pattern.text;
    ToBytes to_bytes = [literal, content](std::string* token) { *token = ReplaceLiteralIn(*token, literal, content); };
    if (fused_) {
      Add([literal, content] { return std::make_unique<FusedReplaceLiteralStage>(literal, content); },
          std::move(to_bytes));
    } else {
      Add([literal, content] { return std::make_unique<ReplaceLiteralStage>(literal, content); }, std::move(to_bytes));
    }
    return absl::OkStatus();
  }

  absl::Status ParseStrip(JsonObject object) {
    StripOptions options;
    ASSIGN_OR_RETURN(const absl::string_view content, StringField(object, "content", kWhere));
    if (content.empty() || Utf8Length(static_cast<unsigned char>(content[0])) != content.size()) {
      return absl::InvalidArgumentError("tokenizer.json: decoder.content of Strip must be one character");
    }
    options.content = std::string(content);
    ASSIGN_OR_RETURN(options.start, CountField(object, "start"));
    ASSIGN_OR_RETURN(options.stop, CountField(object, "stop"));
    if (fused_) {
      Add([options] { return std::make_unique<FusedStripStage>(options); });
    } else {
      Add([options] { return std::make_unique<StripStage>(options); });
    }
    return absl::OkStatus();
  }

  absl::Status ParseMetaspaceStep(JsonObject object) {
    ASSIGN_OR_RETURN(MetaspaceOptions parsed, ParseMetaspace(object, kWhere));
    const auto options = std::make_shared<const MetaspaceOptions>(std::move(parsed));
    AddWhole([options] { return std::make_unique<MetaspaceStage>(options.get()); },
             [options](std::string* token) { *token = ReplaceLiteralIn(*token, options->replacement, " "); });
    return absl::OkStatus();
  }

  Decoder decoder_;
  bool fused_ = false;  // the stream is one token by now
};

absl::StatusOr<Decoder> Decoder::FromJson(std::optional<JsonValue> value) {
  DecoderParser parser;
  if (value) {
    RETURN_IF_ERROR(parser.Parse(*value, 0));
  } else {
    parser.AddJoin();
  }
  return parser.Take();
}

DecodeStream Decoder::NewStream() const {
  std::vector<std::unique_ptr<DecodeStage>> stages;
  for (const Step& step : steps_) stages.push_back(step.make_stage());
  return DecodeStream(std::move(stages));
}

std::string Decoder::TokenBytes(absl::string_view token) const {
  std::string bytes(token);
  for (const Step& step : steps_) {
    if (step.to_bytes) step.to_bytes(&bytes);
  }
  return bytes;
}

}  // namespace tandem::model::tokenizer

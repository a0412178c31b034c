#include "model/tokenizer/post_processor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::model::tokenizer {
namespace {

constexpr absl::string_view kWhere = "post_processor";

absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: ", kWhere, ": ", what));
}

// The ids that the template's special_tokens map gives to `name`.
absl::StatusOr<std::vector<int32_t>> SpecialTokenIds(JsonObject processor, absl::string_view name) {
  const std::optional<JsonValue> map_value = Field(processor, "special_tokens");
  if (!map_value) return Invalid("special_tokens is missing");
  ASSIGN_OR_RETURN(const JsonObject map, AsObject(*map_value, "post_processor.special_tokens"));
  const std::optional<JsonValue> entry = Field(map, name);
  if (!entry) return Invalid(absl::StrCat("the template uses \"", name, "\", which special_tokens does not define"));
  ASSIGN_OR_RETURN(const JsonObject token, AsObject(*entry, "post_processor.special_tokens"));
  ASSIGN_OR_RETURN(const JsonArray ids, ArrayField(token, "ids", "post_processor.special_tokens"));
  std::vector<int32_t> result;
  for (const JsonValue id : ids) {
    ASSIGN_OR_RETURN(const int32_t value, AsTokenId(id, "post_processor.special_tokens.ids"));
    result.push_back(value);
  }
  return result;
}

// The id of a ["content", id] pair.
absl::StatusOr<int32_t> PairId(JsonObject object, absl::string_view key) {
  ASSIGN_OR_RETURN(const JsonArray pair, ArrayField(object, key, kWhere));
  if (pair.size() != 2) return Invalid(absl::StrCat(key, " must be [token, id]"));
  return AsTokenId(pair.at(1).value_unsafe(), absl::StrCat(kWhere, ".", key));
}

}  // namespace

absl::StatusOr<PostProcessor> PostProcessor::FromJson(std::optional<JsonValue> value) {
  PostProcessor processor;
  if (value) {
    RETURN_IF_ERROR(processor.Parse(*value, 0));
  }
  return processor;
}

absl::Status PostProcessor::Parse(JsonValue value, int depth) {
  ASSIGN_OR_RETURN(const JsonObject object, AsObject(value, kWhere));
  ASSIGN_OR_RETURN(const absl::string_view type, StringField(object, "type", kWhere));
  if (type == "Sequence") return ParseSequence(object, depth);
  if (type == "TemplateProcessing") return ParseTemplate(object);
  if (type == "BertProcessing" || type == "RobertaProcessing") return ParseClsSep(object);
  if (type == "ByteLevel") return absl::OkStatus();  // it trims offsets only
  return absl::UnimplementedError(absl::StrCat("tokenizer.json: post_processor type ", type, " is not supported"));
}

absl::Status PostProcessor::ParseSequence(JsonObject object, int depth) {
  RETURN_IF_ERROR(CheckDepth(depth, kWhere));
  ASSIGN_OR_RETURN(const JsonArray children, ArrayField(object, "processors", kWhere));
  for (const JsonValue child : children) {
    RETURN_IF_ERROR(Parse(child, depth + 1));
  }
  return absl::OkStatus();
}

absl::Status PostProcessor::ParseTemplate(JsonObject object) {
  ASSIGN_OR_RETURN(const JsonArray pieces, ArrayField(object, "single", kWhere));
  std::vector<int32_t> before;
  std::vector<int32_t> after;
  int sequences = 0;
  for (const JsonValue value : pieces) {
    ASSIGN_OR_RETURN(const JsonObject piece, AsObject(value, "post_processor.single"));
    if (Field(piece, "Sequence")) {
      ++sequences;
      continue;
    }
    const std::optional<JsonValue> special_value = Field(piece, "SpecialToken");
    if (!special_value) return Invalid("a piece of `single` is neither Sequence nor SpecialToken");
    ASSIGN_OR_RETURN(const JsonObject special, AsObject(*special_value, "post_processor.single"));
    ASSIGN_OR_RETURN(const absl::string_view name, StringField(special, "id", "post_processor.single"));
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, SpecialTokenIds(object, name));
    std::vector<int32_t>& side = sequences == 0 ? before : after;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (sequences != 1) return Invalid("the template `single` must contain the text exactly once");
  // A later processor of a Sequence goes around the earlier ones.
  prefix_.insert(prefix_.begin(), before.begin(), before.end());
  suffix_.insert(suffix_.end(), after.begin(), after.end());
  return absl::OkStatus();
}

absl::Status PostProcessor::ParseClsSep(JsonObject object) {
  ASSIGN_OR_RETURN(const int32_t cls, PairId(object, "cls"));
  ASSIGN_OR_RETURN(const int32_t sep, PairId(object, "sep"));
  prefix_.insert(prefix_.begin(), cls);
  suffix_.push_back(sep);
  return absl::OkStatus();
}

}  // namespace tandem::model::tokenizer

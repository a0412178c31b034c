#include "model/tokenizer/normalizer.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/tokenizer/regex.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/unicode_normalizer.h"

namespace tandem::model::tokenizer {
namespace {

constexpr absl::string_view kWhere = "normalizer";

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}

  absl::Status Apply(std::string* text) const override {
    for (const std::unique_ptr<Normalizer>& step : steps_) {
      RETURN_IF_ERROR(step->Apply(text));
    }
    return absl::OkStatus();
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}

  absl::Status Apply(std::string* text) const override {
    if (!text->empty()) text->insert(0, prefix_);
    return absl::OkStatus();
  }

 private:
  std::string prefix_;
};

class ReplaceLiteral : public Normalizer {
 public:
  ReplaceLiteral(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  absl::Status Apply(std::string* text) const override {
    std::string out;
    size_t done = 0;
    for (size_t match = text->find(pattern_); match != std::string::npos; match = text->find(pattern_, done)) {
      out.append(*text, done, match - done);
      out.append(content_);
      done = match + pattern_.size();
    }
    if (done == 0) return absl::OkStatus();
    out.append(*text, done);
    *text = std::move(out);
    return absl::OkStatus();
  }

 private:
  std::string pattern_;  // not empty
  std::string content_;
};

class ReplaceRegex : public Normalizer {
 public:
  ReplaceRegex(Regex regex, std::string content) : regex_(std::move(regex)), content_(std::move(content)) {}

  absl::Status Apply(std::string* text) const override {
    std::string out;
    size_t done = 0;
    RETURN_IF_ERROR(regex_.ForEachMatch(*text, [&](size_t begin, size_t end) {
      out.append(*text, done, begin - done);
      out.append(content_);
      done = end;
    }));
    out.append(*text, done);
    *text = std::move(out);
    return absl::OkStatus();
  }

 private:
  Regex regex_;
  std::string content_;
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  absl::Status Apply(std::string* text) const override {
    size_t end = text->size();
    while (right_ && end > 0) {
      const size_t previous = PreviousCharacter(*text, end);
      size_t cursor = previous;
      if (!IsWhiteSpace(NextCodePoint(*text, &cursor))) break;
      end = previous;
    }
    text->resize(end);
    size_t begin = 0;
    while (left_ && begin < end) {
      size_t next = begin;
      if (!IsWhiteSpace(NextCodePoint(*text, &next))) break;
      begin = next;
    }
    text->erase(0, begin);
    return absl::OkStatus();
  }

 private:
  bool left_;
  bool right_;
};

class Lowercase : public Normalizer {
 public:
  absl::Status Apply(std::string* text) const override {
    std::string out;
    size_t pos = 0;
    while (pos < text->size()) {
      AppendLowercase(NextCodePoint(*text, &pos), &out);
    }
    *text = std::move(out);
    return absl::OkStatus();
  }
};

absl::StatusOr<std::unique_ptr<Normalizer>> ParseReplace(JsonObject object) {
  ASSIGN_OR_RETURN(PatternField pattern, ParsePatternField(object, kWhere));
  ASSIGN_OR_RETURN(const absl::string_view content, StringField(object, "content", kWhere));
  std::unique_ptr<Normalizer> normalizer;
  if (!pattern.is_regex && !pattern.text.empty()) {
    normalizer = std::make_unique<ReplaceLiteral>(std::move(pattern.text), std::string(content));
  } else {
    ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern.text));
    normalizer = std::make_unique<ReplaceRegex>(std::move(regex), std::string(content));
  }
  return normalizer;
}

absl::Status ParseInto(JsonValue value, int depth, std::vector<std::unique_ptr<Normalizer>>* steps);

absl::Status ParseSequence(JsonObject object, int depth, std::vector<std::unique_ptr<Normalizer>>* steps) {
  ASSIGN_OR_RETURN(const JsonArray children, ArrayField(object, "normalizers", kWhere));
  for (const JsonValue child : children) {
    RETURN_IF_ERROR(ParseInto(child, depth + 1, steps));
  }
  return absl::OkStatus();
}

absl::Status ParseInto(JsonValue value, int depth, std::vector<std::unique_ptr<Normalizer>>* steps) {
  ASSIGN_OR_RETURN(const JsonObject object, AsObject(value, kWhere));
  ASSIGN_OR_RETURN(const absl::string_view type, StringField(object, "type", kWhere));
  if (type == "Sequence") {
    RETURN_IF_ERROR(CheckDepth(depth, kWhere));
    return ParseSequence(object, depth, steps);
  }
  static constexpr std::pair<absl::string_view, NormalizationForm> kForms[] = {{"NFC", NormalizationForm::kNfc},
                                                                               {"NFD", NormalizationForm::kNfd},
                                                                               {"NFKC", NormalizationForm::kNfkc},
                                                                               {"NFKD", NormalizationForm::kNfkd}};
  for (const auto& [name, form] : kForms) {
    if (type == name) {
      steps->push_back(std::make_unique<UnicodeNormalizer>(form));
      return absl::OkStatus();
    }
  }
  if (type == "Prepend") {
    ASSIGN_OR_RETURN(const absl::string_view prefix, StringField(object, "prepend", kWhere));
    steps->push_back(std::make_unique<Prepend>(std::string(prefix)));
  } else if (type == "Replace") {
    ASSIGN_OR_RETURN(std::unique_ptr<Normalizer> replace, ParseReplace(object));
    steps->push_back(std::move(replace));
  } else if (type == "Strip") {
    ASSIGN_OR_RETURN(const bool left, BoolField(object, "strip_left", true, kWhere));
    ASSIGN_OR_RETURN(const bool right, BoolField(object, "strip_right", true, kWhere));
    steps->push_back(std::make_unique<Strip>(left, right));
  } else if (type == "Lowercase") {
    steps->push_back(std::make_unique<Lowercase>());
  } else {
    return absl::UnimplementedError(absl::StrCat("tokenizer.json: normalizer type ", type, " is not supported"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Normalizer>> ParseNormalizer(std::optional<JsonValue> value) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  if (value) {
    RETURN_IF_ERROR(ParseInto(*value, 0, &steps));
  }
  std::unique_ptr<Normalizer> normalizer;
  if (steps.size() == 1) {
    normalizer = std::move(steps[0]);
  } else if (!steps.empty()) {
    normalizer = std::make_unique<SequenceNormalizer>(std::move(steps));
  }
  return normalizer;
}

}  // namespace tandem::model::tokenizer

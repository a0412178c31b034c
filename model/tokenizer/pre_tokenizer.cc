#include "model/tokenizer/pre_tokenizer.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/metaspace.h"
#include "model/tokenizer/regex_translate.h"
#include "model/tokenizer/split.h"
#include "model/tokenizer/unicode.h"

namespace tandem::model::tokenizer {
namespace {

constexpr absl::string_view kWhere = "pre_tokenizer";
// ByteLevel's own split, from GPT-2.
constexpr absl::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Puts a space before every piece that does not start with one.
class AddPrefixSpace : public PreTokenizer {
 public:
  absl::Status Apply(PieceList* list) const override {
    for (const Piece piece : list->pieces()) {
      const absl::string_view text = list->TextOf(piece);
      if (absl::StartsWith(text, " ")) {
        list->AddText(text);
      } else {
        list->AddText(absl::StrCat(" ", text));
      }
    }
    list->CommitText();
    return absl::OkStatus();
  }
};

// Writes every byte as its stand-in character.
class WriteByteAlphabet : public PreTokenizer {
 public:
  absl::Status Apply(PieceList* list) const override {
    std::string written;
    for (const Piece piece : list->pieces()) {
      written.clear();
      AppendInByteAlphabet(list->TextOf(piece), &written);
      list->AddText(written);
    }
    list->CommitText();
    return absl::OkStatus();
  }
};

// Turns spaces into the mark, puts a mark in front, and cuts before each mark.
class MetaspaceSplit : public PreTokenizer {
 public:
  explicit MetaspaceSplit(MetaspaceOptions options) : options_(std::move(options)) {}

  absl::Status Apply(PieceList* list) const override {
    for (const Piece piece : list->pieces()) {
      std::string text = absl::StrReplaceAll(list->TextOf(piece), {{" ", options_.replacement}});
      const bool prepends = options_.prepend == PrependScheme::kAlways ||
                            (options_.prepend == PrependScheme::kFirst && list->at_origin() && piece.begin == 0);
      if (prepends && !absl::StartsWith(text, options_.replacement)) text.insert(0, options_.replacement);
      AddPieces(text, list);
    }
    list->CommitText();
    return absl::OkStatus();
  }

 private:
  // A run of marks leaves all but the last as pieces of their own.
  void AddPieces(absl::string_view text, PieceList* list) const {
    const absl::string_view mark = options_.replacement;
    while (options_.split && !text.empty()) {
      const size_t next = text.find(mark, absl::StartsWith(text, mark) ? mark.size() : 0);
      if (next == absl::string_view::npos) break;
      list->AddText(text.substr(0, next));
      text.remove_prefix(next);
    }
    list->AddText(text);
  }

  MetaspaceOptions options_;
};

absl::StatusOr<std::unique_ptr<PreTokenizer>> MakeRegexSplit(absl::string_view pattern, SplitBehavior behavior,
                                                             bool invert) {
  ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
  return std::unique_ptr<PreTokenizer>(std::make_unique<RegexSplit>(std::move(regex), behavior, invert));
}

class Parser {
 public:
  absl::Status Parse(JsonValue value, int depth) {
    ASSIGN_OR_RETURN(const JsonObject object, AsObject(value, kWhere));
    ASSIGN_OR_RETURN(const absl::string_view type, StringField(object, "type", kWhere));
    if (type == "Sequence") return ParseSequence(object, depth);
    WriteOutByteLevel();
    if (type == "ByteLevel") return ParseByteLevel(object);
    if (type == "Split") return ParseSplit(object);
    if (type == "Metaspace") {
      ASSIGN_OR_RETURN(MetaspaceOptions options, ParseMetaspace(object, kWhere));
      Add(std::make_unique<MetaspaceSplit>(std::move(options)));
    } else if (type == "Digits") {
      ASSIGN_OR_RETURN(const bool individual, BoolField(object, "individual_digits", false, kWhere));
      Add(std::make_unique<CharacterSplit>(&IsNumeric,
                                           individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous));
    } else if (type == "Punctuation") {
      ASSIGN_OR_RETURN(const SplitBehavior behavior, ParseBehavior(object));
      Add(std::make_unique<CharacterSplit>(&IsPunctuation, behavior));
    } else if (type == "Whitespace") {
      Add(std::make_unique<WordRuns>());
    } else if (type == "WhitespaceSplit") {
      Add(std::make_unique<CharacterSplit>(&IsWhiteSpace, SplitBehavior::kRemoved));
    } else {
      return absl::UnimplementedError(absl::StrCat("tokenizer.json: pre_tokenizer type ", type, " is not supported"));
    }
    return absl::OkStatus();
  }

  PreTokenizerPipeline Take() { return std::move(pipeline_); }

 private:
  void Add(std::unique_ptr<PreTokenizer> step) { pipeline_.steps.push_back(std::move(step)); }

  // A step behind ByteLevel sees the byte alphabet, so it has to be written out after all.
  void WriteOutByteLevel() {
    if (pipeline_.byte_level) Add(std::make_unique<WriteByteAlphabet>());
    pipeline_.byte_level = false;
  }

  static absl::StatusOr<SplitBehavior> ParseBehavior(JsonObject object) {
    if (!Field(object, "behavior")) return SplitBehavior::kIsolated;
    ASSIGN_OR_RETURN(const absl::string_view name, StringField(object, "behavior", kWhere));
    return ParseSplitBehavior(name);
  }

  absl::Status ParseSequence(JsonObject object, int depth) {
    RETURN_IF_ERROR(CheckDepth(depth, kWhere));
    ASSIGN_OR_RETURN(const JsonArray children, ArrayField(object, "pretokenizers", kWhere));
    for (const JsonValue child : children) {
      RETURN_IF_ERROR(Parse(child, depth + 1));
    }
    return absl::OkStatus();
  }

  absl::Status ParseByteLevel(JsonObject object) {
    ASSIGN_OR_RETURN(const bool add_prefix_space, BoolField(object, "add_prefix_space", true, kWhere));
    ASSIGN_OR_RETURN(const bool use_regex, BoolField(object, "use_regex", true, kWhere));
    if (add_prefix_space) Add(std::make_unique<AddPrefixSpace>());
    if (use_regex) {
      ASSIGN_OR_RETURN(auto split, MakeRegexSplit(kGpt2Regex, SplitBehavior::kIsolated, false));
      Add(std::move(split));
    }
    pipeline_.byte_level = true;
    return absl::OkStatus();
  }

  absl::Status ParseSplit(JsonObject object) {
    ASSIGN_OR_RETURN(const PatternField pattern, ParsePatternField(object, kWhere));
    ASSIGN_OR_RETURN(const SplitBehavior behavior, ParseBehavior(object));
    ASSIGN_OR_RETURN(const bool invert, BoolField(object, "invert", false, kWhere));
    ASSIGN_OR_RETURN(auto split,
                     MakeRegexSplit(pattern.is_regex ? pattern.text : EscapeRegex(pattern.text), behavior, invert));
    Add(std::move(split));
    return absl::OkStatus();
  }

  PreTokenizerPipeline pipeline_;
};

}  // namespace

void PieceList::Reset(absl::string_view text, bool at_origin) {
  text_ = text;
  at_origin_ = at_origin;
  next_pieces_.clear();
  next_text_.clear();
  Add(0, text.size());
  Commit();
}

void PieceList::Commit() {
  pieces_.swap(next_pieces_);
  next_pieces_.clear();
}

void PieceList::AddText(absl::string_view text) {
  const size_t begin = next_text_.size();
  next_text_.append(text.data(), text.size());
  Add(begin, next_text_.size());
}

void PieceList::CommitText() {
  text_storage_.swap(next_text_);
  next_text_.clear();
  text_ = text_storage_;
  Commit();
}

absl::StatusOr<PreTokenizerPipeline> ParsePreTokenizer(std::optional<JsonValue> value) {
  Parser parser;
  if (value) {
    RETURN_IF_ERROR(parser.Parse(*value, 0));
  }
  return parser.Take();
}

}  // namespace tandem::model::tokenizer

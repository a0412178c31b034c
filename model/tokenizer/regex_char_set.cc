#include "model/tokenizer/regex_char_set.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "model/tokenizer/unicode_tables.h"

namespace tandem::model::tokenizer {
namespace {

constexpr absl::string_view kSpaceItems =
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
// Oniguruma counts letter numbers, enclosed letters and the Latin-1 superscripts and fractions as word characters.
constexpr absl::string_view kWordExtras =
    "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";
// Ideographs of Unicode 15 and 15.1.
constexpr absl::string_view kYoungHanItems = "\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}";
std::string ShortCategory(absl::string_view name) {
  static constexpr std::pair<absl::string_view, absl::string_view> kNames[] = {{"letter", "L"},
                                                                               {"mark", "M"},
                                                                               {"number", "N"},
                                                                               {"punctuation", "P"},
                                                                               {"symbol", "S"},
                                                                               {"separator", "Z"},
                                                                               {"other", "C"},
                                                                               {"uppercaseletter", "Lu"},
                                                                               {"upper", "Lu"},
                                                                               {"lower", "Ll"},
                                                                               {"lowercaseletter", "Ll"},
                                                                               {"titlecaseletter", "Lt"},
                                                                               {"digit", "Nd"},
                                                                               {"modifierletter", "Lm"},
                                                                               {"otherletter", "Lo"},
                                                                               {"decimalnumber", "Nd"},
                                                                               {"nonspacingmark", "Mn"},
                                                                               {"punct", "P"}};
  std::string key;
  for (const char c : name) {
    if (c != '_' && c != ' ' && c != '-') key.push_back(absl::ascii_tolower(c));
  }
  for (const auto& [long_name, short_name] : kNames) {
    if (key == long_name) return std::string(short_name);
  }
  return std::string(name);
}

// PCRE2 from 10.40 on reads \p{Han} as a script extension; Oniguruma means the script itself, written \p{sc:Han}.
bool IsScriptName(absl::string_view name) {
  const std::string pattern = absl::StrCat("\\p{sc:", name, "}");
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error, &offset, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

}  // namespace

std::string ToExpression(const CharSet& set) {
  if (set.others.empty()) {
    if (set.items.empty()) return set.negated ? "(?s:.)" : "(?!)";
    return absl::StrCat(set.negated ? "[^" : "[", set.items, "]");
  }
  std::vector<std::string> choices = set.others;
  if (!set.items.empty()) choices.push_back(absl::StrCat("[", set.items, "]"));
  const std::string any_of = absl::StrCat("(?:", absl::StrJoin(choices, "|"), ")");
  return set.negated ? absl::StrCat("(?:(?!", any_of, ")(?s:.))") : any_of;
}

std::string CodePointItem(uint32_t code_point) { return absl::StrFormat("\\x{%x}", code_point); }

absl::string_view SpaceItems() { return kSpaceItems; }

std::string WordItems() {
  return absl::StrCat(PropertyItems("L"), PropertyItems("M"), PropertyItems("Nd"), PropertyItems("Nl"),
                      PropertyItems("Pc"), kWordExtras);
}

std::string PropertyItems(absl::string_view name) {
  const std::string category = ShortCategory(name);
  if (category.size() > 2) {
    const absl::string_view younger = category == "Han" ? kYoungHanItems : "";
    return absl::StrCat("\\p{", IsScriptName(category) ? "sc:" : "", category, "}", younger);
  }
  std::string items = absl::StrCat("\\p{", category, "}");
  for (const CategoryRange& range : AssignedSinceUnicode15()) {
    const absl::string_view actual = range.category;
    if (actual.substr(0, category.size()) == category) {
      absl::StrAppend(&items, CodePointItem(range.first), "-", CodePointItem(range.last));
    }
  }
  return items;
}

}  // namespace tandem::model::tokenizer

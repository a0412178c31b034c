#include "model/tokenizer/unicode_normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/unicode_tables.h"

namespace tandem::model::tokenizer {
namespace {

constexpr size_t kFormCount = 4;
constexpr uint32_t kTableSize = 0x20000;  // above lie ideographs and symbols, asked one by one

// How a character takes part in normalization.
enum class Role : uint8_t {
  kInert,   // its own normal form, and never joined with what stands before it: a border between independent parts
  kActive,  // all others
  kOpaque,  // unknown to the peer: copied, and a border on both sides
};

bool IsComposed(NormalizationForm form) { return form == NormalizationForm::kNfc || form == NormalizationForm::kNfkc; }

utf8proc_option_t Options(NormalizationForm form) {
  int options = UTF8PROC_STABLE;
  options |= IsComposed(form) ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalizationForm::kNfkc || form == NormalizationForm::kNfkd) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

using CodePoints = std::vector<utf8proc_int32_t>;

absl::Status Decompose(absl::string_view text, utf8proc_option_t options, CodePoints* out) {
  constexpr size_t kLongestDecomposition = 32;  // Unicode's is 18
  size_t pos = 0;
  while (pos < text.size()) {
    const uint32_t code_point = NextCodePoint(text, &pos);
    const size_t size = out->size();
    out->resize(size + kLongestDecomposition);
    int last_boundary_class = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), &(*out)[size],
                                                           kLongestDecomposition, options, &last_boundary_class);
    if (count < 0 || static_cast<size_t>(count) > kLongestDecomposition) {
      return absl::InternalError(absl::StrCat("utf8proc cannot decompose character ", code_point));
    }
    out->resize(size + static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

int CombiningClass(utf8proc_int32_t code_point) { return utf8proc_get_property(code_point)->combining_class; }

// Sorts each run of combining marks by class. utf8proc's own sort is quadratic, and the length of a run is the user's.
void OrderMarks(CodePoints* text) {
  const auto is_mark = [](utf8proc_int32_t c) { return CombiningClass(c) != 0; };
  auto begin = text->begin();
  while ((begin = std::find_if(begin, text->end(), is_mark)) != text->end()) {
    const auto end = std::find_if_not(begin, text->end(), is_mark);
    std::stable_sort(begin, end,
                     [](utf8proc_int32_t a, utf8proc_int32_t b) { return CombiningClass(a) < CombiningClass(b); });
    begin = end;
  }
}

absl::Status AppendNormalized(absl::string_view text, NormalizationForm form, std::string* out) {
  CodePoints code_points;
  RETURN_IF_ERROR(Decompose(text, Options(form), &code_points));
  OrderMarks(&code_points);
  if (IsComposed(form)) {
    const utf8proc_ssize_t size =
        utf8proc_normalize_utf32(code_points.data(), static_cast<utf8proc_ssize_t>(code_points.size()), Options(form));
    if (size < 0) return absl::InternalError(absl::StrCat("utf8proc: ", utf8proc_errmsg(size)));
    code_points.resize(static_cast<size_t>(size));
  }
  for (const utf8proc_int32_t code_point : code_points) AppendUtf8(static_cast<uint32_t>(code_point), out);
  return absl::OkStatus();
}

bool IsOpaque(uint32_t code_point) {
  return FindRange(NormalizationSinceUnicode10(), code_point) != nullptr ||
         FindRange(AssignedSinceUnicode15(), code_point) != nullptr;
}

bool IsHangulVowelOrTail(uint32_t c) { return c >= 0x1161 && c <= 0x11FF; }

Role ComputeRole(uint32_t code_point, NormalizationForm form) {
  if (IsOpaque(code_point)) return Role::kOpaque;
  const utf8proc_property_t* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point));
  if (property->combining_class != 0 || IsHangulVowelOrTail(code_point)) return Role::kActive;
  // A combining mark of class 0 may still compose with what stands before it.
  if (property->category == UTF8PROC_CATEGORY_MN || property->category == UTF8PROC_CATEGORY_MC) return Role::kActive;
  const bool is_hangul_syllable = code_point >= 0xAC00 && code_point <= 0xD7A3;
  if (property->decomp_seqindex == UINT16_MAX && !is_hangul_syllable) return Role::kInert;
  std::string character;
  std::string normalized;
  AppendUtf8(code_point, &character);
  if (!AppendNormalized(character, form, &normalized).ok() || normalized != character) return Role::kActive;
  return Role::kInert;
}

using RoleTable = std::vector<Role>;

const RoleTable& Roles(NormalizationForm form) {
  static const auto& tables = *new std::array<RoleTable, kFormCount>([] {
    std::array<RoleTable, kFormCount> all;
    for (size_t f = 0; f < kFormCount; ++f) {
      all[f].resize(kTableSize, Role::kInert);
      for (uint32_t c = 0x80; c < kTableSize; ++c) {
        const bool is_surrogate = c >= 0xD800 && c < 0xE000;
        if (!is_surrogate) all[f][c] = ComputeRole(c, static_cast<NormalizationForm>(f));
      }
    }
    return all;
  }());
  return tables[static_cast<size_t>(form)];
}

Role RoleOf(uint32_t code_point, NormalizationForm form, const RoleTable& table) {
  return code_point < kTableSize ? table[code_point] : ComputeRole(code_point, form);
}

// The first byte at or after `pos` that is not ASCII.
size_t SkipAscii(absl::string_view text, size_t pos) {
  uint64_t block = 0;
  while (pos + sizeof(block) <= text.size()) {
    std::memcpy(&block, text.data() + pos, sizeof(block));
    if ((block & 0x8080808080808080) != 0) break;
    pos += sizeof(block);
  }
  while (pos < text.size() && static_cast<unsigned char>(text[pos]) < 0x80) ++pos;
  return pos;
}

}  // namespace

// Only the parts around active characters go through utf8proc: from the inert character before them (a composition's
// base) to the next border. In most text there are none.
absl::Status UnicodeNormalizer::Apply(std::string* text) const {
  const absl::string_view in = *text;
  size_t pos = SkipAscii(in, 0);
  if (pos == in.size()) return absl::OkStatus();
  const RoleTable& table = Roles(form_);
  std::string out;
  size_t copied = 0;                    // in[0, copied) is in `out`
  size_t base = pos > 0 ? pos - 1 : 0;  // where an active part that starts at `pos` has to begin
  while (pos < in.size()) {
    const size_t begin = pos;
    Role role = RoleOf(NextCodePoint(in, &pos), form_, table);
    if (role == Role::kActive) {
      size_t end = pos;
      while (role == Role::kActive && pos < in.size()) {
        end = pos;
        role = RoleOf(NextCodePoint(in, &pos), form_, table);
      }
      if (role == Role::kActive) end = pos;
      pos = end;
      out.append(in.data() + copied, base - copied);
      RETURN_IF_ERROR(AppendNormalized(in.substr(base, end - base), form_, &out));
      copied = base = end;
    } else {
      base = role == Role::kOpaque ? pos : begin;
      if (pos < in.size() && static_cast<unsigned char>(in[pos]) < 0x80) {
        pos = SkipAscii(in, pos);
        base = pos - 1;
      }
    }
  }
  if (copied == 0) return absl::OkStatus();
  out.append(in.data() + copied, in.size() - copied);
  *text = std::move(out);
  return absl::OkStatus();
}

}  // namespace tandem::model::tokenizer

#include "model/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/tokenizer/regex_translate.h"

namespace tandem::model::tokenizer {
namespace {

// Generous for honest text, a fraction of a second for hostile text.
constexpr uint32_t kMatchLimit = 20'000'000;
constexpr uint32_t kHeapLimitKiB = 64 * 1024;
constexpr size_t kJitStackStartBytes = 32 * 1024;
constexpr size_t kJitStackMaxBytes = 8 * 1024 * 1024;

// What PCRE2 writes to during a match. One per thread: patterns are shared, this is not.
class MatchState {
 public:
  MatchState()
      : data_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        stack_(pcre2_jit_stack_create(kJitStackStartBytes, kJitStackMaxBytes, nullptr)) {
    TANDEM_CHECK(data_ != nullptr && context_ != nullptr && stack_ != nullptr, "out of memory in PCRE2");
    pcre2_set_match_limit(context_, kMatchLimit);
    pcre2_set_heap_limit(context_, kHeapLimitKiB);
    pcre2_jit_stack_assign(context_, nullptr, stack_);
  }
  MatchState(const MatchState&) = delete;
  MatchState& operator=(const MatchState&) = delete;
  ~MatchState() {
    pcre2_jit_stack_free(stack_);
    pcre2_match_context_free(context_);
    pcre2_match_data_free(data_);
  }

  pcre2_match_data* data() { return data_; }
  pcre2_match_context* context() { return context_; }

 private:
  pcre2_match_data* data_;
  pcre2_match_context* context_;
  pcre2_jit_stack* stack_;
};

MatchState& ThisThreadsMatchState() {
  thread_local MatchState state;
  return state;
}

std::string ErrorText(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

PCRE2_SPTR Units(absl::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data() == nullptr ? "" : text.data());
}

}  // namespace

void Regex::CodeDeleter::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Regex::Regex(std::string pattern, pcre2_real_code_8* code, bool has_jit)
    : pattern_(std::move(pattern)), code_(code), has_jit_(has_jit) {}

absl::StatusOr<Regex> Regex::Compile(absl::string_view oniguruma_pattern) {
  ASSIGN_OR_RETURN(const std::string translated, TranslateOnigurumaRegex(oniguruma_pattern));
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's ^ and $ match at every line.
  pcre2_code* code = pcre2_compile(Units(translated), translated.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE,
                                   &error, &offset, nullptr);
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("regex /", oniguruma_pattern, "/ does not compile: ",
                                                   ErrorText(error), " (offset ", offset, " of /", translated, "/)"));
  }
  const bool has_jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
  return Regex(std::string(oniguruma_pattern), code, has_jit);
}

Regex::Outcome Regex::Search(absl::string_view text, size_t from, size_t* begin, size_t* end) const {
  MatchState& state = ThisThreadsMatchState();
  // The caller promised valid UTF-8, so PCRE2 need not look again; pcre2_jit_match never does.
  const int result =
      has_jit_
          ? pcre2_jit_match(code_.get(), Units(text), text.size(), from, 0, state.data(), state.context())
          : pcre2_match(code_.get(), Units(text), text.size(), from, PCRE2_NO_UTF_CHECK, state.data(), state.context());
  if (result == PCRE2_ERROR_NOMATCH) return Outcome::kNoMatch;
  if (result < 0) {
    *begin = static_cast<size_t>(-result);
    return Outcome::kError;
  }
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(state.data());
  *begin = offsets[0];
  *end = offsets[1];
  return Outcome::kMatch;
}

absl::Status Regex::SearchError(size_t code) const {
  return absl::ResourceExhaustedError(absl::StrCat("the text cannot be split by regex /", pattern_,
                                                   "/: ", ErrorText(-static_cast<int>(code)),
                                                   "; shorten the longest run of similar characters"));
}

}  // namespace tandem::model::tokenizer

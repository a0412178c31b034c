// NFC, NFD, NFKC and NFKD (Unicode Standard Annex #15) by utf8proc, with the younger characters left alone that the
// peer's tables (Unicode 9) do not know. Immutable and thread-safe.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "model/tokenizer/normalizer.h"

namespace tandem::model::tokenizer {

enum class NormalizationForm { kNfc, kNfd, kNfkc, kNfkd };

class UnicodeNormalizer : public Normalizer {
 public:
  explicit UnicodeNormalizer(NormalizationForm form) : form_(form) {}
  absl::Status Apply(std::string* text) const override;

 private:
  NormalizationForm form_;
};

}  // namespace tandem::model::tokenizer

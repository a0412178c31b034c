#include "model/jinja/text.h"

#include <algorithm>

namespace tandem::jinja {

bool Text::AnyFromInput() const {
  return std::any_of(spans_.begin(), spans_.end(), [](const Span& span) { return span.from_input; });
}

void Text::Append(absl::string_view bytes, bool from_input) {
  if (bytes.empty()) {
    return;
  }
  bytes_.append(bytes.data(), bytes.size());
  if (!spans_.empty() && spans_.back().from_input == from_input) {
    spans_.back().end = bytes_.size();
  } else {
    spans_.push_back({bytes_.size(), from_input});
  }
}

void Text::Append(const Text& other) {
  size_t begin = 0;
  for (const Span& span : other.spans_) {
    Append(other.view().substr(begin, span.end - begin), span.from_input);
    begin = span.end;
  }
}

Text Text::Substr(size_t begin, size_t end) const {
  Text out;
  // The first span that reaches beyond `begin`: spans are sorted by their end.
  auto span = std::upper_bound(spans_.begin(), spans_.end(), begin,
                               [](size_t position, const Span& candidate) { return position < candidate.end; });
  for (; begin < end; ++span) {
    const size_t stop = std::min(span->end, end);
    out.Append(view().substr(begin, stop - begin), span->from_input);
    begin = stop;
  }
  return out;
}

}  // namespace tandem::jinja

// A UTF-8 string that knows which of its bytes came from the outside (messages, tools, documents) and which were
// written by the author of the template. The marks survive concatenation, slicing and the other string operations, so
// that the tokenizer can refuse to read control tokens out of user text.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem::jinja {

class Text {
 public:
  // A run of bytes of one origin; it starts where the previous one ends. Neighbours differ in origin, none is empty.
  struct Span {
    size_t end;
    bool from_input;
  };
  using Spans = std::vector<Span>;

  Text() = default;
  explicit Text(std::string bytes, bool from_input = false) : bytes_(std::move(bytes)) {
    if (!bytes_.empty()) {
      spans_.push_back({bytes_.size(), from_input});
    }
  }

  absl::string_view view() const { return bytes_; }
  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const Spans& spans() const { return spans_; }
  bool AnyFromInput() const;

  void Append(absl::string_view bytes, bool from_input = false);
  void Append(const Text& other);

  // Bytes [begin, end); begin <= end <= size().
  Text Substr(size_t begin, size_t end) const;
  Text Substr(size_t begin) const { return Substr(begin, size()); }

  // Applies a context-free `map` (string_view → std::string) to each span.
  template <typename Map>
  Text Transform(Map map) const {
    Text out;
    size_t begin = 0;
    for (const Span& span : spans_) {
      out.Append(map(view().substr(begin, span.end - begin)), span.from_input);
      begin = span.end;
    }
    return out;
  }

 private:
  std::string bytes_;
  Spans spans_;
};

}  // namespace tandem::jinja

#include "absl/strings/strip.h"
#include "base/http/client.h"

namespace tandem::http {

bool EventParser::Push(absl::string_view bytes, const std::function<bool(absl::string_view data)>& on_event) {
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    line_.append(bytes.data(), std::min(end, bytes.size()));
    if (end == absl::string_view::npos) {
      return true;
    }
    bytes.remove_prefix(end + 1);
    const std::string line = std::exchange(line_, "");
    if (!Line(absl::StripSuffix(line, "\r"), on_event)) {
      return false;
    }
  }
  return true;
}

bool EventParser::Line(absl::string_view line, const std::function<bool(absl::string_view data)>& on_event) {
  if (line.empty()) {
    const std::string data = std::exchange(data_, "");
    return !std::exchange(has_data_, false) || on_event(data);
  }
  if (absl::ConsumePrefix(&line, "data:")) {
    absl::ConsumePrefix(&line, " ");
    absl::StrAppend(&data_, has_data_ ? "\n" : "", line);
    has_data_ = true;
  }
  return true;
}

}  // namespace tandem::http

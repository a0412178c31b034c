#include "router/output_parser/call_reader.h"

#include "absl/strings/str_format.h"

namespace tandem::router {

std::string EscapeJson(char c) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\t':
      return "\\t";
    default:
      break;
  }
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 ? absl::StrFormat("\\u%04x", byte) : std::string(1, c);
}

}  // namespace tandem::router

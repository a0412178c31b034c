#include "router/grpc_api_status.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "router/api_error.h"

namespace tandem::router {
namespace {

// The google.rpc messages are written by hand, as Debian has no library of them: protobuf's wire format is a varint key
// (number << 3 | type), then a varint (type 0), or a length and bytes (type 2).
void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>(value | 0x80));
  }
  out.push_back(static_cast<char>(value));
}

std::string NumberField(int number, uint64_t value) {
  std::string out;
  AppendVarint(number << 3, out);
  AppendVarint(value, out);
  return out;
}

std::string BytesField(int number, absl::string_view bytes) {
  std::string out;
  AppendVarint(number << 3 | 2, out);
  AppendVarint(bytes.size(), out);
  return absl::StrCat(out, bytes);
}

// Field 3 of google.rpc.Status: an Any {1: type_url, 2: value}.
std::string Detail(absl::string_view type, absl::string_view message) {
  return BytesField(3, BytesField(1, absl::StrCat("type.googleapis.com/google.rpc.", type)) + BytesField(2, message));
}

std::string Details(int code, const ApiError& error) {
  std::string out = NumberField(1, code) + BytesField(2, error.message);
  out += Detail("ErrorInfo", BytesField(1, error.code) + BytesField(2, "tandem"));
  if (!error.param.empty()) {
    out += Detail("BadRequest", BytesField(1, BytesField(1, error.param) + BytesField(2, error.message)));
  }
  if (error.retry_after_seconds.has_value()) {
    out += Detail("RetryInfo", BytesField(1, NumberField(1, *error.retry_after_seconds)));
  }
  return out;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  const ApiError error = ToApiError(status);
  const int code = static_cast<int>(status.code());
  return {static_cast<grpc::StatusCode>(code), error.message, Details(code, error)};
}

}  // namespace tandem::router

// google.protobuf.Struct, which stands for a JSON object in gRPC messages, as Json.
#pragma once

#include <google/protobuf/struct.pb.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "router/field_reader.h"

namespace tandem::router {

// Members come in the order of their names: a Struct has none of its own, and the order of properties decides
// about answers. Whole numbers become integers. Errors: INVALID_ARGUMENT naming `field` for what JSON cannot hold.
absl::StatusOr<Json> StructToJson(const google::protobuf::Struct& value, absl::string_view field);

}  // namespace tandem::router

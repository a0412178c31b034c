#include "model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem::model {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit

struct Range {
  uint64_t begin;
  uint64_t end;
};

absl::Status Broken(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what, "; the file is damaged or incomplete, fetch it again"));
}

absl::StatusOr<StoredTensor> ParseEntry(const std::string& path, const std::string& name, const nlohmann::json& entry,
                                        const std::shared_ptr<const MappedFile>& file, uint64_t data_begin) {
  const auto bad = [&](absl::string_view what) { return Broken(path, absl::StrCat("tensor ", name, ": ", what)); };
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
      !entry["shape"].is_array() || !entry.contains("data_offsets") || !entry["data_offsets"].is_array() ||
      entry["data_offsets"].size() != 2) {
    return bad("its header entry lacks dtype, shape or data_offsets");
  }
  StoredTensor tensor{.dtype = entry["dtype"].get<std::string>(), .shape = {}, .data = {}, .file = file};
  const int64_t element_bytes = StoredElementBytes(tensor.dtype);
  if (element_bytes == 0) {
    return bad(absl::StrCat("unknown dtype ", tensor.dtype));
  }
  uint64_t bytes = static_cast<uint64_t>(element_bytes);
  for (const auto& dim : entry["shape"]) {
    if (!dim.is_number_unsigned() || dim.get<uint64_t>() > (uint64_t{1} << 40)) {
      return bad("its shape is not a list of sizes");
    }
    tensor.shape.push_back(static_cast<int64_t>(dim.get<uint64_t>()));
    if (__builtin_mul_overflow(bytes, dim.get<uint64_t>(), &bytes)) {
      return bad("its shape overflows");
    }
  }
  if (!entry["data_offsets"][0].is_number_unsigned() || !entry["data_offsets"][1].is_number_unsigned()) {
    return bad("its data_offsets are not sizes");
  }
  const uint64_t begin = entry["data_offsets"][0].get<uint64_t>();
  const uint64_t end = entry["data_offsets"][1].get<uint64_t>();
  const uint64_t available = file->bytes().size() - data_begin;
  if (begin > end || end > available) {
    return bad(absl::StrCat("its data ends at byte ", end, " of ", available, " in the file"));
  }
  if (end - begin != bytes) {
    return bad(absl::StrCat("dtype and shape need ", bytes, " bytes, the file has ", end - begin));
  }
  tensor.data = file->bytes().subspan(data_begin + begin, bytes);
  return tensor;
}

}  // namespace

int64_t StoredElementBytes(absl::string_view dtype) {
  static const auto& bytes = *new absl::flat_hash_map<std::string, int64_t>{
      {"F64", 8},     {"I64", 8},     {"U64", 8},     {"F32", 4}, {"I32", 4}, {"U32", 4}, {"BF16", 2}, {"F16", 2},
      {"I16", 2},     {"U16", 2},     {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}, {"I8", 1}, {"U8", 1}, {"BOOL", 1}};
  const auto it = bytes.find(std::string(dtype));
  return it == bytes.end() ? 0 : it->second;
}

absl::StatusOr<TensorMap> ReadSafetensors(const std::string& path) {
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, MappedFile::Open(path));
  const absl::Span<const std::byte> bytes = file->bytes();
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes)) {
    return Broken(path, absl::StrCat("it has only ", bytes.size(), " bytes"));
  }
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - sizeof(header_bytes)) {
    return Broken(path, absl::StrCat("its header claims ", header_bytes, " bytes, the file has ", bytes.size()));
  }
  const char* header = reinterpret_cast<const char*>(bytes.data()) + sizeof(header_bytes);
  const nlohmann::json json = nlohmann::json::parse(header, header + header_bytes, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return Broken(path, "its header is not JSON");
  }
  TensorMap tensors;
  std::vector<Range> ranges;
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") {
      continue;
    }
    ASSIGN_OR_RETURN(StoredTensor tensor, ParseEntry(path, name, entry, file, sizeof(header_bytes) + header_bytes));
    const auto it = tensors.emplace(name, std::move(tensor)).first;
    const uint64_t begin = entry["data_offsets"][0].get<uint64_t>();
    ranges.push_back({begin, begin + it->second.data.size()});
  }
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].begin < ranges[i - 1].end) {
      return Broken(path, absl::StrCat("two tensors overlap at byte ", ranges[i].begin));
    }
  }
  return tensors;
}

}  // namespace tandem::model

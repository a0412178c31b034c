#include "model/checkpoint.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/status.h"

namespace tandem::model {
namespace {

using compute::BF16ToF32;
using compute::F16ToF32;
using compute::F8E4M3ToF32;

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

absl::Status MergeShard(const std::string& path, TensorMap& tensors) {
  ASSIGN_OR_RETURN(TensorMap shard, ReadSafetensors(path));
  for (auto& [name, tensor] : shard) {
    if (!tensors.emplace(name, std::move(tensor)).second) {
      return absl::DataLossError(absl::StrCat(path, ": tensor ", name, " is in another shard too"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadShards(const std::string& model_dir, TensorMap& tensors) {
  const std::string index_path = JoinPath(model_dir, kIndexFile);
  ASSIGN_OR_RETURN(const std::string text, ReadFile(index_path));
  const nlohmann::json index = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return absl::DataLossError(absl::StrCat(index_path, ": no weight_map; the file is damaged, fetch it again"));
  }
  std::set<std::string> shards;
  for (const auto& [name, file] : index["weight_map"].items()) {
    if (!file.is_string() || file.get<std::string>().find('/') != std::string::npos) {
      return absl::DataLossError(absl::StrCat(index_path, ": tensor ", name, " has no plain file name"));
    }
    shards.insert(file.get<std::string>());
  }
  for (const std::string& shard : shards) {
    const std::string path = JoinPath(model_dir, shard);
    if (!FileExists(path)) {
      return absl::NotFoundError(
          absl::StrCat(path, " is missing: ", kIndexFile, " names ", shards.size(), " shards; fetch the rest"));
    }
    RETURN_IF_ERROR(MergeShard(path, tensors));
  }
  for (const auto& [name, file] : index["weight_map"].items()) {
    if (!tensors.contains(name)) {
      return absl::DataLossError(
          absl::StrCat(index_path, ": tensor ", name, " is not in ", file.get<std::string>(), " as the index says"));
    }
  }
  return absl::OkStatus();
}

// Widens `count` elements starting at element `first`.
absl::Status Widen(absl::string_view dtype, const std::byte* data, int64_t first, absl::Span<float> out) {
  const int64_t count = static_cast<int64_t>(out.size());
  if (dtype == "F32") {
    std::memcpy(out.data(), data + first * 4, count * 4);
    return absl::OkStatus();
  }
  if (dtype == "BF16" || dtype == "F16") {
    const bool brain = dtype == "BF16";
    for (int64_t i = 0; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, data + (first + i) * 2, 2);
      out[i] = brain ? BF16ToF32(bits) : F16ToF32(bits);
    }
    return absl::OkStatus();
  }
  return absl::UnimplementedError(absl::StrCat("weights of dtype ", dtype, " are not supported"));
}

bool IsWidenable(absl::string_view dtype) { return dtype == "F32" || dtype == "BF16" || dtype == "F16"; }

absl::Status WrongShape(absl::string_view name, const std::vector<int64_t>& got, const std::vector<int64_t>& want) {
  return absl::InvalidArgumentError(absl::StrCat("tensor ", name, " has shape [", absl::StrJoin(got, ", "),
                                                 "], config.json implies [", absl::StrJoin(want, ", "), "]"));
}

}  // namespace

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& model_dir) {
  Checkpoint checkpoint;
  if (FileExists(JoinPath(model_dir, kIndexFile))) {
    RETURN_IF_ERROR(ReadShards(model_dir, checkpoint.tensors_));
  } else if (FileExists(JoinPath(model_dir, kSingleFile))) {
    RETURN_IF_ERROR(MergeShard(JoinPath(model_dir, kSingleFile), checkpoint.tensors_));
  } else {
    return absl::NotFoundError(absl::StrCat(model_dir, " has neither ", kSingleFile, " nor ", kIndexFile,
                                            ": give the directory of a Hugging Face checkpoint"));
  }
  return checkpoint;
}

absl::StatusOr<const StoredTensor*> Checkpoint::Find(absl::string_view name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    return absl::NotFoundError(absl::StrCat("tensor ", name, " is missing from the checkpoint"));
  }
  return &it->second;
}

absl::StatusOr<compute::RowReader> Checkpoint::MatrixReader(const std::string& name, int64_t rows, int64_t cols) const {
  ASSIGN_OR_RETURN(const StoredTensor* stored, Find(name));
  const StoredTensor tensor = *stored;
  if (tensor.shape != std::vector<int64_t>{rows, cols}) {
    return WrongShape(name, tensor.shape, {rows, cols});
  }
  if (IsWidenable(tensor.dtype)) {
    return compute::RowReader([tensor, cols](int64_t row, absl::Span<float> out) {
      Widen(tensor.dtype, tensor.data.data(), row * cols, out).IgnoreError();
    });
  }
  if (tensor.dtype != "F8_E4M3") {
    return absl::UnimplementedError(absl::StrCat("tensor ", name, " has dtype ", tensor.dtype,
                                                 "; supported are F32, BF16, F16 and F8_E4M3 with block scales"));
  }
  const std::string scale_name = absl::StrCat(name, "_scale_inv");
  if (!Has(scale_name)) {
    return absl::DataLossError(absl::StrCat("tensor ", name, " is F8_E4M3 but ", scale_name, " is missing"));
  }
  const int64_t block_rows = fp8_block_rows_;
  const int64_t block_cols = fp8_block_cols_;
  const int64_t scale_cols = (cols + block_cols - 1) / block_cols;
  ASSIGN_OR_RETURN(std::vector<float> loaded, ReadF32(scale_name, {(rows + block_rows - 1) / block_rows, scale_cols}));
  return compute::RowReader([tensor, cols, block_rows, block_cols, scale_cols,
                             scales = std::make_shared<const std::vector<float>>(std::move(loaded))](
                                int64_t row, absl::Span<float> out) {
    const auto* bits = reinterpret_cast<const uint8_t*>(tensor.data.data()) + row * cols;
    const float* row_scales = scales->data() + (row / block_rows) * scale_cols;
    for (int64_t col = 0; col < cols; ++col) {
      out[col] = F8E4M3ToF32(bits[col]) * row_scales[col / block_cols];
    }
  });
}

absl::StatusOr<std::vector<float>> Checkpoint::ReadF32(const std::string& name,
                                                       const std::vector<int64_t>& shape) const {
  ASSIGN_OR_RETURN(const StoredTensor* tensor, Find(name));
  if (tensor->shape != shape) {
    return WrongShape(name, tensor->shape, shape);
  }
  int64_t count = 1;
  for (const int64_t dim : shape) {
    count *= dim;
  }
  std::vector<float> values(count);
  const absl::Status status = Widen(tensor->dtype, tensor->data.data(), 0, absl::MakeSpan(values));
  if (!status.ok()) {
    return Annotate(status, absl::StrCat("tensor ", name));
  }
  return values;
}

int64_t Checkpoint::total_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_) {
    bytes += static_cast<int64_t>(tensor.data.size());
  }
  return bytes;
}

std::string Checkpoint::Digest(absl::string_view config_json) const {
  constexpr size_t kSampleBytes = 64;
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, tensor] : tensors_) {
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_DigestInit_ex(context, EVP_sha256(), nullptr);
  EVP_DigestUpdate(context, config_json.data(), config_json.size());
  for (const std::string& name : names) {
    const StoredTensor& tensor = tensors_.at(name);
    const std::string header = absl::StrCat("\n", name, " ", tensor.dtype, " ", absl::StrJoin(tensor.shape, "x"), " ");
    EVP_DigestUpdate(context, header.data(), header.size());
    const size_t sample = std::min(kSampleBytes, tensor.data.size());
    EVP_DigestUpdate(context, tensor.data.data() + (tensor.data.size() - sample) / 2, sample);
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int digest_bytes = 0;
  EVP_DigestFinal_ex(context, digest, &digest_bytes);
  EVP_MD_CTX_free(context);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), digest_bytes));
}

}  // namespace tandem::model

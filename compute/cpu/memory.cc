#include "compute/cpu/memory.h"

#include <sys/mman.h>

#include <utility>

namespace tandem::compute::cpu {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

size_t MappedBytes(size_t size_bytes) {
  const size_t unit = size_bytes >= kHugePageBytes ? kHugePageBytes : 4096;
  return (size_bytes + unit - 1) / unit * unit;
}

}  // namespace

AlignedBlock& AlignedBlock::operator=(AlignedBlock&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

AlignedBlock::~AlignedBlock() {
  if (data_ != nullptr) {
    munmap(data_, MappedBytes(size_bytes_));
  }
}

absl::StatusOr<AlignedBlock> AlignedBlock::Create(size_t size_bytes) {
  AlignedBlock block;
  if (size_bytes == 0) {
    size_bytes = kAlignment;
  }
  const size_t mapped = MappedBytes(size_bytes);
  // The kernel places anonymous maps of whole huge pages on huge-page borders, or THP uses those inside.
  void* data = mapped < size_bytes ? MAP_FAILED
                                   : mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot allocate ", size_bytes, " bytes of host memory"));
  }
  if (mapped >= kHugePageBytes) {
    madvise(data, mapped, MADV_HUGEPAGE);
  }
  block.data_ = static_cast<std::byte*>(data);
  block.size_bytes_ = size_bytes;
  return block;
}

float* Scratch::Reserve(int64_t num_floats) {
  const size_t needed = static_cast<size_t>(num_floats) * sizeof(float);
  if (block_.size_bytes() < needed) {
    absl::StatusOr<AlignedBlock> block = AlignedBlock::Create(needed + needed / 4);
    TANDEM_CHECK(block.ok(), block.status().message(), " for working memory; lower the number of batched tokens");
    block_ = *std::move(block);
  }
  return reinterpret_cast<float*>(block_.data());
}

std::byte* RawData(const Tensor& tensor) {
  auto* buffer = dynamic_cast<CpuBuffer*>(tensor.buffer());
  TANDEM_CHECK(buffer != nullptr, "tensor does not belong to a CPU backend");
  return buffer->data() + tensor.offset_bytes();
}

}  // namespace tandem::compute::cpu

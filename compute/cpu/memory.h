// Host memory of the CPU backend: 64-byte aligned, on huge pages where that pays.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "compute/tensor.h"

namespace tandem::compute::cpu {

inline constexpr size_t kAlignment = 64;

// An owned, zero-filled block. Moves; does not copy.
class AlignedBlock {
 public:
  AlignedBlock() = default;
  AlignedBlock(AlignedBlock&& other) noexcept { *this = std::move(other); }
  AlignedBlock& operator=(AlignedBlock&& other) noexcept;
  ~AlignedBlock();

  // RESOURCE_EXHAUSTED when the system has no memory left.
  static absl::StatusOr<AlignedBlock> Create(size_t size_bytes);

  std::byte* data() const { return data_; }
  size_t size_bytes() const { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
};

// Working memory that grows and is never given back while its owner lives, so that steady-state calls allocate nothing.
// Contents are undefined after Reserve.
class Scratch {
 public:
  float* Reserve(int64_t num_floats);

 private:
  AlignedBlock block_;
};

class CpuBuffer final : public Buffer {
 public:
  // Adds its size to `total_bytes` while it lives.
  CpuBuffer(AlignedBlock block, std::shared_ptr<std::atomic<int64_t>> total_bytes)
      : block_(std::move(block)), total_bytes_(std::move(total_bytes)) {
    *total_bytes_ += static_cast<int64_t>(block_.size_bytes());
  }
  ~CpuBuffer() override { *total_bytes_ -= static_cast<int64_t>(block_.size_bytes()); }
  std::byte* data() const { return block_.data(); }

 private:
  AlignedBlock block_;
  std::shared_ptr<std::atomic<int64_t>> total_bytes_;
};

// The data of a tensor that a CPU backend made, which must have T's dtype.
std::byte* RawData(const Tensor& tensor);

template <typename T>
T* Data(const Tensor& tensor) {
  TANDEM_CHECK(sizeof(T) == DTypeBytes(tensor.dtype()), "tensor of ", DTypeName(tensor.dtype()));
  return reinterpret_cast<T*>(RawData(tensor));
}

}  // namespace tandem::compute::cpu

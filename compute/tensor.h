// Handles to a backend's memory.
//
// A Tensor is a dense row-major view into a Buffer that a Backend owns. It carries shape and dtype; only the backend that
// made it may look at the data. Copies share the buffer, which is freed with the last handle. Thread-safety: a handle is
// a value; concurrent access to the data behind it is the business of whoever issues backend calls.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>

#include "absl/types/span.h"
#include "base/status.h"
#include "compute/dtype.h"

namespace tandem::compute {

// Backend-specific storage; a backend downcasts the buffers that it made itself.
class Buffer {
 public:
  virtual ~Buffer() = default;
};

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    TANDEM_CHECK(rank_ <= kMaxRank);
    std::copy(dims.begin(), dims.end(), dims_.begin());
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }
  int64_t& operator[](int axis) { return dims_[axis]; }
  int64_t num_elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) {
      n *= dims_[i];
    }
    return n;
  }
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, kMaxRank> dims_ = {};
  int rank_ = 0;
};

class Tensor {
 public:
  Tensor() = default;
  Tensor(std::shared_ptr<Buffer> buffer, int64_t offset_bytes, DType dtype, Shape shape)
      : buffer_(std::move(buffer)), offset_bytes_(offset_bytes), dtype_(dtype), shape_(shape) {}

  // False for a default-constructed handle, which stands for "absent" in optional arguments.
  bool defined() const { return buffer_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t num_elements() const { return shape_.num_elements(); }
  int64_t size_bytes() const { return num_elements() * static_cast<int64_t>(DTypeBytes(dtype_)); }

  // Rows [begin, begin + count) of the first axis, sharing the buffer.
  Tensor Rows(int64_t begin, int64_t count) const {
    TANDEM_CHECK(begin >= 0 && count >= 0 && begin + count <= dim(0), "rows ", begin, "+", count, " of ", dim(0));
    const int64_t row_bytes = dim(0) == 0 ? 0 : size_bytes() / dim(0);
    Shape shape = shape_;
    shape[0] = count;
    return Tensor(buffer_, offset_bytes_ + begin * row_bytes, dtype_, shape);
  }

  // The same elements under another shape with as many elements.
  Tensor Reshape(Shape shape) const {
    TANDEM_CHECK(shape.num_elements() == num_elements());
    return Tensor(buffer_, offset_bytes_, dtype_, shape);
  }

  Buffer* buffer() const { return buffer_.get(); }
  int64_t offset_bytes() const { return offset_bytes_; }

 private:
  std::shared_ptr<Buffer> buffer_;
  int64_t offset_bytes_ = 0;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

// Host data as the bytes that Upload and Download take.
template <typename T>
absl::Span<const std::byte> BytesOf(absl::Span<const T> values) {
  return {reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(T)};
}
template <typename T>
absl::Span<std::byte> WritableBytesOf(absl::Span<T> values) {
  return {reinterpret_cast<std::byte*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace tandem::compute

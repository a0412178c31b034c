// The bytes of frames: reference-counted, so that a frame's payload is shared by whoever needs it and never copied on
// its way.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/types/span.h"

namespace tandem::transport {

// Owns bytes that FrameBuffers refer to, and hears when the last of them is gone. Thread-safe.
class BufferOwner {
 public:
  BufferOwner() = default;
  BufferOwner(const BufferOwner&) = delete;
  BufferOwner& operator=(const BufferOwner&) = delete;

  void Ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    // Nobody else can copy the only reference: no need to write it.
    if (references_.load(std::memory_order_acquire) == 1 || references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      references_.store(1, std::memory_order_relaxed);
      Unused();
    }
  }

 protected:
  virtual ~BufferOwner() = default;

  // On whatever thread let go of the last buffer. The owner has one reference again, as when it was made: it may be
  // destroyed here, or used for another buffer.
  virtual void Unused() = 0;

 private:
  std::atomic<int> references_ = 1;
};

// A range of bytes. Written by one owner before it is shared, immutable afterwards.
class FrameBuffer {
 public:
  FrameBuffer() = default;
  // New bytes, aligned to 64.
  explicit FrameBuffer(size_t size);
  // Bytes that `keep_alive` holds until the last copy is gone.
  FrameBuffer(const std::byte* data, size_t size, std::shared_ptr<const void> keep_alive);
  // The first buffer over an owner's bytes; takes the owner's reference.
  FrameBuffer(const std::byte* data, size_t size, BufferOwner& owner) : owner_(&owner), data_(data), size_(size) {}

  FrameBuffer(const FrameBuffer& other) : owner_(other.owner_), data_(other.data_), size_(other.size_) {
    if (owner_ != nullptr) {
      owner_->Ref();
    }
  }
  FrameBuffer(FrameBuffer&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  FrameBuffer& operator=(FrameBuffer other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~FrameBuffer() {
    if (owner_ != nullptr) {
      owner_->Unref();
    }
  }

  size_t size() const { return size_; }
  const std::byte* data() const { return data_; }
  absl::Span<const std::byte> bytes() const { return {data_, size_}; }

  // `size` bytes from `offset` on, which must lie inside; shares the bytes.
  FrameBuffer Part(size_t offset, size_t size) const& { return FrameBuffer(*this).Part(offset, size); }
  FrameBuffer Part(size_t offset, size_t size) && {
    data_ += offset;
    size_ = size;
    return std::move(*this);
  }

  // Only of buffers made by FrameBuffer(size) or lent, and only before the frame is handed on.
  absl::Span<std::byte> mutable_bytes() { return {const_cast<std::byte*>(data_), size_}; }

 private:
  BufferOwner* owner_ = nullptr;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tandem::transport

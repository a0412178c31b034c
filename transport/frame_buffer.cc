#include "transport/frame_buffer.h"

#include <new>

namespace tandem::transport {
namespace {

constexpr size_t kAlignment = 64;

// Lies before its bytes.
class alignas(kAlignment) HeapOwner final : public BufferOwner {
 public:
  static HeapOwner* Make(size_t size) {
    return new (::operator new (sizeof(HeapOwner) + size, std::align_val_t{kAlignment})) HeapOwner();
  }
  const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(this + 1); }

 private:
  void Unused() override {
    this->~HeapOwner();
    ::operator delete (static_cast<void*>(this), std::align_val_t{kAlignment});
  }
};

class SharedOwner final : public BufferOwner {
 public:
  explicit SharedOwner(std::shared_ptr<const void> bytes) : bytes_(std::move(bytes)) {}

 private:
  void Unused() override { delete this; }

  const std::shared_ptr<const void> bytes_;
};

}  // namespace

FrameBuffer::FrameBuffer(size_t size) {
  if (size > 0) {
    HeapOwner* const owner = HeapOwner::Make(size);
    *this = FrameBuffer(owner->bytes(), size, *owner);
  }
}

FrameBuffer::FrameBuffer(const std::byte* data, size_t size, std::shared_ptr<const void> keep_alive)
    : FrameBuffer(data, size, *new SharedOwner(std::move(keep_alive))) {}

}  // namespace tandem::transport

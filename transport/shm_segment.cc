#include "transport/shm_segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <bit>
#include <utility>

#include "base/status.h"

namespace tandem::transport {
namespace {

constexpr size_t kControlBytes = 4096;
constexpr uint64_t kMinRingBytes = 64 << 10;
constexpr uint64_t kMaxRingBytes = uint64_t{1} << 30;
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
static_assert(2 * sizeof(RingControl) <= kControlBytes);

bool IsRingSize(uint64_t bytes) {
  return std::has_single_bit(bytes) && bytes >= kMinRingBytes && bytes <= kMaxRingBytes;
}

absl::Status CheckSizes(const SegmentSizes& sizes) {
  if (IsRingSize(sizes.dispatch_bytes) && IsRingSize(sizes.combine_bytes)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("rings of ", sizes.dispatch_bytes, " and ", sizes.combine_bytes,
                                                 " bytes: powers of two from 64 KiB to 1 GiB are possible"));
}

off_t FileBytes(const SegmentSizes& sizes) {
  return static_cast<off_t>(kControlBytes + sizes.dispatch_bytes + sizes.combine_bytes);
}

bool MapAt(std::byte* at, size_t bytes, int fd, off_t offset) {
  return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset) != MAP_FAILED;
}

bool MapTwice(std::byte* at, size_t bytes, int fd, off_t offset) {
  return MapAt(at, bytes, fd, offset) && MapAt(at + bytes, bytes, fd, offset);
}

}  // namespace

absl::StatusOr<ShmSegment> ShmSegment::Create(const SegmentSizes& sizes) {
  RETURN_IF_ERROR(CheckSizes(sizes));
  ShmSegment segment(UniqueFd(memfd_create("tandem-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  const int fd = segment.fd_.get();
  if (fd < 0 || ftruncate(fd, FileBytes(sizes)) != 0 || fcntl(fd, F_ADD_SEALS, kSeals) != 0) {
    return absl::ErrnoToStatus(errno, "cannot make shared memory");
  }
  RETURN_IF_ERROR(segment.Map(sizes));
  return segment;  // a new file is zero, which is what empty rings look like
}

absl::StatusOr<ShmSegment> ShmSegment::Adopt(UniqueFd fd, const SegmentSizes& sizes) {
  RETURN_IF_ERROR(CheckSizes(sizes));
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0 || info.st_size != FileBytes(sizes)) {
    return absl::InvalidArgumentError("the shared memory does not have the size that was announced");
  }
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return absl::InvalidArgumentError("the shared memory is not sealed");
  }
  ShmSegment segment(std::move(fd));
  RETURN_IF_ERROR(segment.Map(sizes));
  return segment;
}

absl::Status ShmSegment::Map(const SegmentSizes& sizes) {
  const size_t bytes = kControlBytes + 2 * sizes.dispatch_bytes + 2 * sizes.combine_bytes;
  void* base = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return absl::ErrnoToStatus(errno, "no address space for shared memory");
  }
  base_ = static_cast<std::byte*>(base);
  mapped_bytes_ = bytes;
  std::byte* const dispatch = base_ + kControlBytes;
  std::byte* const combine = dispatch + 2 * sizes.dispatch_bytes;
  const auto combine_offset = static_cast<off_t>(kControlBytes + sizes.dispatch_bytes);
  if (!MapAt(base_, kControlBytes, fd_.get(), 0) ||
      !MapTwice(dispatch, sizes.dispatch_bytes, fd_.get(), kControlBytes) ||
      !MapTwice(combine, sizes.combine_bytes, fd_.get(), combine_offset)) {
    return absl::ErrnoToStatus(errno, "cannot map shared memory");
  }
  auto* const controls = reinterpret_cast<RingControl*>(base_);
  dispatch_ = {&controls[0], dispatch, sizes.dispatch_bytes};
  combine_ = {&controls[1], combine, sizes.combine_bytes};
  return absl::OkStatus();
}

ShmSegment::ShmSegment(ShmSegment&& other) noexcept
    : fd_(std::move(other.fd_)),
      base_(std::exchange(other.base_, nullptr)),
      mapped_bytes_(other.mapped_bytes_),
      dispatch_(other.dispatch_),
      combine_(other.combine_) {}

ShmSegment::~ShmSegment() {
  if (base_ != nullptr) {
    munmap(base_, mapped_bytes_);
  }
}

}  // namespace tandem::transport

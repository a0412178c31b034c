#include "transport/doorbell.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <climits>

#include "base/spin.h"
#include "base/status.h"

namespace tandem::transport {
namespace {

constexpr size_t kPageBytes = 4096;
// A peer that scribbles over the word can delay a wake-up by this long, and no longer.
constexpr timespec kLongestSleep{0, 100'000'000};
// At least one wait in 2^this spins.
constexpr int kMostFutileSpins = 4;

// The word may be shared between processes, hence not the private kind of futex that std::atomic::wait uses.
void FutexWait(DoorbellWord* word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAIT, expected, &kLongestSleep, nullptr, 0);
}

void FutexWake(DoorbellWord* word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

DoorbellWord* MapPage(int fd) {
  void* page =
      mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, fd >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS, fd, 0);
  return page == MAP_FAILED ? nullptr : static_cast<DoorbellWord*>(page);
}

}  // namespace

void RingDoorbell(DoorbellWord& word) {
  uint32_t seen = word.load(std::memory_order_seq_cst);
  // Whoever turns the word even wakes the waiter; everybody else need not.
  if ((seen & 1) != 0 && word.compare_exchange_strong(seen, seen + 1, std::memory_order_seq_cst)) {
    FutexWake(&word);
  }
}

absl::StatusOr<RemoteDoorbell> RemoteDoorbell::Map(const UniqueFd& fd) {
  struct stat info = {};
  // Sealed against shrinking, or touching the page could end this process.
  if (fstat(fd.get(), &info) != 0 || info.st_size != static_cast<off_t>(kPageBytes) ||
      (fcntl(fd.get(), F_GET_SEALS) & F_SEAL_SHRINK) == 0) {
    return absl::InvalidArgumentError("the descriptor is not a doorbell");
  }
  DoorbellWord* word = MapPage(fd.get());
  if (word == nullptr) {
    return absl::ErrnoToStatus(errno, "cannot map a doorbell");
  }
  return RemoteDoorbell(word);
}

RemoteDoorbell::~RemoteDoorbell() {
  if (word_ != nullptr) {
    munmap(word_, kPageBytes);
  }
}

Doorbell::Doorbell(absl::Duration spin) : spin_ns_(absl::ToInt64Nanoseconds(spin)) {
  fd_ = UniqueFd(memfd_create("tandem-doorbell", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd_.valid() && (ftruncate(fd_.get(), kPageBytes) != 0 ||
                      fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)) {
    fd_.Reset();
  }
  word_ = MapPage(fd_.get());
  TANDEM_CHECK(word_ != nullptr, "no memory for a doorbell");
  new (word_) DoorbellWord(0);
}

Doorbell::~Doorbell() { munmap(word_, kPageBytes); }

bool Doorbell::SpinPays() {
  if (waits_to_skip_ > 0) {
    --waits_to_skip_;
    return false;
  }
  return spin_ns_ > 0;
}

bool Doorbell::Spin(absl::FunctionRef<bool()> ready) {
  const int64_t end = MonotonicNanos() + spin_ns_;
  do {
    for (int i = 0; i < 16; ++i) {
      SpinPause();
      if (ready()) {
        futile_spins_ = 0;
        return true;
      }
    }
  } while (MonotonicNanos() < end);
  futile_spins_ = std::min(futile_spins_ + 1, kMostFutileSpins);
  waits_to_skip_ = (1 << futile_spins_) - 1;
  return false;
}

void Doorbell::Wait(absl::FunctionRef<bool()> ready) {
  if (ready()) {
    return;
  }
  if (SpinPays() && Spin(ready)) {
    return;
  }
  while (true) {
    const uint32_t asleep = word_->fetch_or(1, std::memory_order_seq_cst) | 1;
    const bool done = ready();
    if (!done) {
      FutexWait(word_, asleep);
    }
    word_->fetch_and(~1u, std::memory_order_seq_cst);
    if (done || ready()) {
      break;
    }
  }
}

}  // namespace tandem::transport

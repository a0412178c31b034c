// Where one thread waits for many sources at once: shared-memory rings filled by other processes, answers delivered by
// other threads. The waiter spins for a moment, because waking a sleeping thread costs tens of microseconds, and then
// sleeps on a futex that anybody may ring.
//
// Memory order: a ringer first publishes what it has (with a sequentially consistent store), then looks whether
// somebody sleeps; the waiter first says that it sleeps, then looks whether there is something. All four are
// sequentially consistent, so at least one of them sees the other, and no wake-up is lost.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace tandem::transport {

// The word that waiter and ringers share, wherever it lies. Odd while the waiter sleeps.
using DoorbellWord = std::atomic<uint32_t>;
static_assert(DoorbellWord::is_always_lock_free);

// Wakes the waiter if it sleeps; costs one load otherwise. Thread-safe, across processes too.
void RingDoorbell(DoorbellWord& word);

// A doorbell of another process. Only rings it. Thread-safe.
class RemoteDoorbell {
 public:
  // `fd` is the other process's Doorbell::fd(). Errors: INVALID_ARGUMENT for anything else.
  static absl::StatusOr<RemoteDoorbell> Map(const UniqueFd& fd);
  RemoteDoorbell(RemoteDoorbell&& other) noexcept : word_(std::exchange(other.word_, nullptr)) {}
  RemoteDoorbell& operator=(RemoteDoorbell&&) = delete;
  ~RemoteDoorbell();

  void Ring() const { RingDoorbell(*word_); }

 private:
  explicit RemoteDoorbell(DoorbellWord* word) : word_(word) {}
  DoorbellWord* word_;
};

// Longer than an answer's way through shared memory, shorter than waking a sleeping thread.
inline constexpr absl::Duration kDefaultSpin = absl::Microseconds(50);

class Doorbell {
 public:
  // `spin`: how long Wait spins before it sleeps. While waits tend to be longer than that most of them do not spin at
  // all, since spinning then only takes the core from somebody.
  explicit Doorbell(absl::Duration spin);
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;

  // For RemoteDoorbell; invalid where the system has no memfd, and then nobody outside this process can ring.
  const UniqueFd& fd() const { return fd_; }

  // Any thread.
  void Ring() { RingDoorbell(*word_); }

  // Returns when ready() is true. It is called again and again while spinning and after each ring, on this thread, so
  // it is also the place to look into rings. One thread waits at a time.
  void Wait(absl::FunctionRef<bool()> ready);

 private:
  bool SpinPays();
  bool Spin(absl::FunctionRef<bool()> ready);

  const int64_t spin_ns_;
  // The waiter's alone.
  int futile_spins_ = 0;   // in a row
  int waits_to_skip_ = 0;  // that do not spin
  UniqueFd fd_;
  DoorbellWord* word_;
};

}  // namespace tandem::transport

// Lets ThreadSanitizer see the synchronisation of a packaged abseil and gRPC (docs/decisions/007-abseil-under-tsan.md).
//
// Distributions build both without ThreadSanitizer, so a lock taken inside libabsl orders nothing in its eyes, and all
// that an absl::Mutex guards is reported as a race. In the tsan preset every program links this library first: its
// definitions of some entry points take the place of theirs, announce the synchronisation, and call the original.
//
//   locks taken by our code           announced as mutexes: races and lock-order inversions are found
//   locks taken inside libraries      announced as plain happens-before edges: their lock order is not our business
//   an operation's tag given to gRPC  happens before gRPC hands the same tag back
//
// A condition is evaluated under the lock but by whichever thread holds it, from inside abseil; Eval therefore ignores
// what it reads.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <link.h>
#include <sanitizer/tsan_interface.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/base/options.h"
#include "absl/status/status.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}

namespace {

#define NAME_OF_(x) #x
#define NAME_OF(x) NAME_OF_(x)

// The original of a member function, by its mangled name behind the inline namespace: "5Mutex4LockEv", `prefix` "_ZN".
std::string Mangled(const char* prefix, const char* rest) {
  const std::string inline_namespace = NAME_OF(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  return std::string(prefix) + "4absl" + std::to_string(inline_namespace.size()) + inline_namespace + rest;
}

void* Original(const std::string& name) {
  void* address = dlsym(RTLD_NEXT, name.c_str());
  if (address == nullptr) {
    std::fprintf(stderr, "tsan_abseil: %s is not in the libraries that are installed\n", name.c_str());
    std::abort();
  }
  return address;
}

// Each expansion looks its symbol up once.
#define CALL_NAMED(name, result, parameters, ...)                                     \
  [&] {                                                                               \
    static const auto original = reinterpret_cast<result(*) parameters>(Original(name)); \
    return original(__VA_ARGS__);                                                     \
  }()
#define CALL(prefix, rest, result, parameters, ...) CALL_NAMED(Mangled(prefix, rest), result, parameters, __VA_ARGS__)

// Where the program itself, which holds all of our code, is loaded.
struct Range {
  uintptr_t begin = UINTPTR_MAX;
  uintptr_t end = 0;
};

Range ProgramRange() {
  Range range;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* result) {
        auto* range = static_cast<Range*>(result);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          if (info->dlpi_phdr[i].p_type == PT_LOAD) {
            const uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            range->begin = std::min(range->begin, begin);
            range->end = std::max(range->end, begin + info->dlpi_phdr[i].p_memsz);
          }
        }
        return 1;  // the first object is the program
      },
      &range);
  return range;
}

bool IsOurs(const void* caller) {
  static const Range range = ProgramRange();
  const uintptr_t address = reinterpret_cast<uintptr_t>(caller);
  return address >= range.begin && address < range.end;
}

// The mutexes of our code that this thread holds.
thread_local std::vector<const absl::Mutex*> held;

bool IsHeld(const absl::Mutex* mutex) { return std::find(held.begin(), held.end(), mutex) != held.end(); }

constexpr unsigned kWrite = 0;
constexpr unsigned kRead = __tsan_mutex_read_lock;

// `lock` takes the mutex and returns true, or returns false without it.
template <typename F>
bool TryLock(absl::Mutex* mutex, const void* caller, unsigned flags, F lock) {
  if (!IsOurs(caller)) {
    const bool locked = lock();
    __tsan_acquire(mutex);
    return locked;
  }
  __tsan_mutex_pre_lock(mutex, flags);
  const bool locked = lock();
  __tsan_mutex_post_lock(mutex, flags | (locked ? 0 : __tsan_mutex_try_lock_failed), 0);
  if (locked) {
    held.push_back(mutex);
  }
  return locked;
}

template <typename F>
void Lock(absl::Mutex* mutex, const void* caller, unsigned flags, F lock) {
  TryLock(mutex, caller, flags, [&] {
    lock();
    return true;
  });
}

// Lock… variants that return whether a condition held: the lock is taken either way.
template <typename F>
bool LockAndTell(absl::Mutex* mutex, const void* caller, F lock) {
  bool result = false;
  Lock(mutex, caller, kWrite, [&] { result = lock(); });
  return result;
}

template <typename F>
void Unlock(absl::Mutex* mutex, unsigned flags, F unlock) {
  if (!IsHeld(mutex)) {
    __tsan_release(mutex);
    unlock();
    return;
  }
  held.erase(std::find(held.begin(), held.end(), mutex));
  __tsan_mutex_pre_unlock(mutex, flags);
  unlock();
  __tsan_mutex_post_unlock(mutex, flags);
}

// Waiting gives the lock up and takes it again. abseil's timed waits call each other: the outer one announces.
template <typename F>
auto Wait(absl::Mutex* mutex, F wait) {
  struct Relock {
    absl::Mutex* mutex;
    const bool ours;
    ~Relock() {
      if (ours) {
        __tsan_mutex_pre_lock(mutex, kWrite);
        __tsan_mutex_post_lock(mutex, kWrite, 0);
        held.push_back(mutex);
      } else {
        __tsan_acquire(mutex);
      }
    }
  } relock{mutex, IsHeld(mutex)};
  Unlock(mutex, kWrite, [] {});
  return wait();
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

Mutex::~Mutex() {
  __tsan_mutex_destroy(this, 0);
  CALL("_ZN", "5MutexD1Ev", void, (Mutex*), this);
}

void Mutex::Lock() {
  ::Lock(this, __builtin_return_address(0), kWrite, [&] { CALL("_ZN", "5Mutex4LockEv", void, (Mutex*), this); });
}

void Mutex::ReaderLock() {
  ::Lock(this, __builtin_return_address(0), kRead, [&] { CALL("_ZN", "5Mutex10ReaderLockEv", void, (Mutex*), this); });
}

bool Mutex::TryLock() {
  return ::TryLock(this, __builtin_return_address(0), kWrite | __tsan_mutex_try_lock, [&] { return CALL("_ZN", "5Mutex7TryLockEv", bool, (Mutex*), this); });
}

bool Mutex::ReaderTryLock() {
  return ::TryLock(this, __builtin_return_address(0), kRead | __tsan_mutex_try_lock, [&] { return CALL("_ZN", "5Mutex13ReaderTryLockEv", bool, (Mutex*), this); });
}

void Mutex::Unlock() {
  ::Unlock(this, kWrite, [&] { CALL("_ZN", "5Mutex6UnlockEv", void, (Mutex*), this); });
}

void Mutex::ReaderUnlock() {
  ::Unlock(this, kRead, [&] { CALL("_ZN", "5Mutex12ReaderUnlockEv", void, (Mutex*), this); });
}

void Mutex::LockWhen(const Condition& condition) {
  ::Lock(this, __builtin_return_address(0), kWrite, [&] {
    CALL("_ZN", "5Mutex8LockWhenERKNS0_9ConditionE", void, (Mutex*, const Condition&), this, condition);
  });
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  return LockAndTell(this, __builtin_return_address(0), [&] {
    return CALL("_ZN", "5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE", bool,
                (Mutex*, const Condition&, Duration), this, condition, timeout);
  });
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  return LockAndTell(this, __builtin_return_address(0), [&] {
    return CALL("_ZN", "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE", bool,
                (Mutex*, const Condition&, Time), this, condition, deadline);
  });
}

void Mutex::Await(const Condition& condition) {
  ::Wait(this, [&] {
    CALL("_ZN", "5Mutex5AwaitERKNS0_9ConditionE", void, (Mutex*, const Condition&), this, condition);
  });
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  return ::Wait(this, [&] {
    return CALL("_ZN", "5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE", bool,
                (Mutex*, const Condition&, Duration), this, condition, timeout);
  });
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  return ::Wait(this, [&] {
    return CALL("_ZN", "5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE", bool,
                (Mutex*, const Condition&, Time), this, condition, deadline);
  });
}

bool Condition::Eval() const {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  const bool result = CALL("_ZNK", "9Condition4EvalEv", bool, (const Condition*), this);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  return result;
}

void CondVar::Wait(Mutex* mutex) {
  ::Wait(mutex, [&] { CALL("_ZN", "7CondVar4WaitEPNS0_5MutexE", void, (CondVar*, Mutex*), this, mutex); });
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  return ::Wait(mutex, [&] {
    return CALL("_ZN", "7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE", bool, (CondVar*, Mutex*, Duration), this,
                mutex, timeout);
  });
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  return ::Wait(mutex, [&] {
    return CALL("_ZN", "7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE", bool, (CondVar*, Mutex*, Time), this, mutex,
                deadline);
  });
}

void Notification::Notify() {
  // HasBeenNotified is inline and looks at the flag alone, so the edge is announced for every word of the object.
  for (char* word = reinterpret_cast<char*>(this); word < reinterpret_cast<char*>(this + 1); word += sizeof(void*)) {
    __tsan_release(word);
  }
  CALL("_ZN", "12Notification6NotifyEv", void, (Notification*), this);
}

void Notification::WaitForNotification() const {
  CALL("_ZNK", "12Notification19WaitForNotificationEv", void, (const Notification*), this);
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  const bool result = CALL("_ZNK", "12Notification30WaitForNotificationWithTimeoutENS0_8DurationE", bool,
                           (const Notification*, Duration), this, timeout);
  __tsan_acquire(const_cast<Notification*>(this));
  return result;
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  const bool result = CALL("_ZNK", "12Notification31WaitForNotificationWithDeadlineENS0_4TimeE", bool,
                           (const Notification*, Time), this, deadline);
  __tsan_acquire(const_cast<Notification*>(this));
  return result;
}

bool BlockingCounter::DecrementCount() {
  __tsan_release(this);
  return CALL("_ZN", "15BlockingCounter14DecrementCountEv", bool, (BlockingCounter*), this);
}

void BlockingCounter::Wait() {
  CALL("_ZN", "15BlockingCounter4WaitEv", void, (BlockingCounter*), this);
  __tsan_acquire(this);
}

void Status::UnrefNonInlined(uintptr_t rep) {
  // The reference count orders the last reader before the delete. Tag bits live in the lowest two.
  void* address = reinterpret_cast<void*>(rep & ~uintptr_t{3});
  __tsan_release(address);
  __tsan_acquire(address);
  CALL("_ZN", "6Status15UnrefNonInlinedEm", void, (uintptr_t), rep);
}

ABSL_NAMESPACE_END
}  // namespace absl

// gRPC: what was written before an operation was started is visible when its tag comes back.
extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t num_ops, void* tag, void* reserved) {
  __tsan_release(tag);
  return CALL_NAMED("grpc_call_start_batch", grpc_call_error, (grpc_call*, const grpc_op*, size_t, void*, void*), call, ops,
                    num_ops, tag, reserved);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline, void* reserved) {
  const grpc_event event = CALL_NAMED("grpc_completion_queue_next", grpc_event,
                                      (grpc_completion_queue*, gpr_timespec, void*), queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) {
    __tsan_acquire(event.tag);
  }
  return event;
}

}  // extern "C"

// Lets ThreadSanitizer see the synchronisation of a packaged abseil (and of gRPC, which locks with it).
//
// Distributions build abseil without ThreadSanitizer, so a lock taken inside libabsl orders nothing in its eyes, and all
// that an absl::Mutex guards is reported as a race. In the tsan preset every program links this library first: its
// definitions of abseil's entry points take the place of abseil's, announce the lock, and call the original.
//
// A condition is evaluated under the lock but by whichever thread holds it, from inside abseil; Eval therefore ignores
// what it reads.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <string>

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
void* Original(const char* prefix, const char* rest) {
  const std::string inline_namespace = NAME_OF(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string name = std::string(prefix) + "4absl" + std::to_string(inline_namespace.size()) + inline_namespace + rest;
  void* address = dlsym(RTLD_NEXT, name.c_str());
  if (address == nullptr) {
    std::fprintf(stderr, "tsan_abseil: %s is not in the abseil that is installed\n", name.c_str());
    std::abort();
  }
  return address;
}

// Each expansion looks its symbol up once.
#define CALL(prefix, rest, result, parameters, ...)                                      \
  [&] {                                                                                  \
    static const auto original = reinterpret_cast<result(*) parameters>(Original(prefix, rest)); \
    return original(__VA_ARGS__);                                                        \
  }()

constexpr unsigned kWrite = 0;
constexpr unsigned kRead = __tsan_mutex_read_lock;

template <typename F>
void Lock(absl::Mutex* mutex, unsigned flags, F lock) {
  __tsan_mutex_pre_lock(mutex, flags);
  lock();
  __tsan_mutex_post_lock(mutex, flags, 0);
}

template <typename F>
bool TryLock(absl::Mutex* mutex, unsigned flags, F lock) {
  __tsan_mutex_pre_lock(mutex, flags | __tsan_mutex_try_lock);
  const bool locked = lock();
  __tsan_mutex_post_lock(mutex, flags | __tsan_mutex_try_lock | (locked ? 0 : __tsan_mutex_try_lock_failed), 0);
  return locked;
}

// Lock… variants that return whether a condition held: the lock is taken either way.
template <typename F>
bool LockAndTell(absl::Mutex* mutex, unsigned flags, F lock) {
  bool result = false;
  Lock(mutex, flags, [&] { result = lock(); });
  return result;
}

// Waiting gives the lock up and takes it again.
template <typename F>
auto Wait(absl::Mutex* mutex, F wait) {
  __tsan_mutex_pre_unlock(mutex, kWrite);
  __tsan_mutex_post_unlock(mutex, kWrite);
  struct Relock {
    absl::Mutex* mutex;
    ~Relock() {
      __tsan_mutex_pre_lock(mutex, kWrite);
      __tsan_mutex_post_lock(mutex, kWrite, 0);
    }
  } relock{mutex};
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
  ::Lock(this, kWrite, [&] { CALL("_ZN", "5Mutex4LockEv", void, (Mutex*), this); });
}

void Mutex::ReaderLock() {
  ::Lock(this, kRead, [&] { CALL("_ZN", "5Mutex10ReaderLockEv", void, (Mutex*), this); });
}

bool Mutex::TryLock() {
  return ::TryLock(this, kWrite, [&] { return CALL("_ZN", "5Mutex7TryLockEv", bool, (Mutex*), this); });
}

bool Mutex::ReaderTryLock() {
  return ::TryLock(this, kRead, [&] { return CALL("_ZN", "5Mutex13ReaderTryLockEv", bool, (Mutex*), this); });
}

void Mutex::Unlock() {
  __tsan_mutex_pre_unlock(this, kWrite);
  CALL("_ZN", "5Mutex6UnlockEv", void, (Mutex*), this);
  __tsan_mutex_post_unlock(this, kWrite);
}

void Mutex::ReaderUnlock() {
  __tsan_mutex_pre_unlock(this, kRead);
  CALL("_ZN", "5Mutex12ReaderUnlockEv", void, (Mutex*), this);
  __tsan_mutex_post_unlock(this, kRead);
}

void Mutex::LockWhen(const Condition& condition) {
  ::Lock(this, kWrite, [&] {
    CALL("_ZN", "5Mutex8LockWhenERKNS0_9ConditionE", void, (Mutex*, const Condition&), this, condition);
  });
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  return LockAndTell(this, kWrite, [&] {
    return CALL("_ZN", "5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE", bool,
                (Mutex*, const Condition&, Duration), this, condition, timeout);
  });
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  return LockAndTell(this, kWrite, [&] {
    return CALL("_ZN", "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE", bool,
                (Mutex*, const Condition&, Time), this, condition, deadline);
  });
}

void Mutex::Await(const Condition& condition) {
  Wait(this, [&] {
    CALL("_ZN", "5Mutex5AwaitERKNS0_9ConditionE", void, (Mutex*, const Condition&), this, condition);
  });
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  return Wait(this, [&] {
    return CALL("_ZN", "5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE", bool,
                (Mutex*, const Condition&, Duration), this, condition, timeout);
  });
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  return Wait(this, [&] {
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

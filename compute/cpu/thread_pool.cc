#include "compute/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>

#include "base/spin.h"
#include "base/status.h"

namespace tandem::compute::cpu {
namespace {

// Spins until ready() or for `budget_ns`; true when ready.
template <typename Ready>
bool SpinUntil(Ready ready, int64_t budget_ns) {
  if (ready()) {
    return true;
  }
  if (budget_ns <= 0) {
    return false;
  }
  const int64_t deadline = MonotonicNanos() + budget_ns;
  do {
    for (int i = 0; i < 32; ++i) {
      SpinPause();
      if (ready()) {
        return true;
      }
    }
  } while (MonotonicNanos() < deadline);
  return false;
}

int DefaultThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    return std::max(1, CPU_COUNT(&set));
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void Pin(int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) {
    return;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // A wish: a CPU that this process may not use leaves the thread where it is.
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

}  // namespace

ThreadPool::ThreadPool(const ThreadPoolOptions& options)
    : max_spin_ns_(int64_t{std::max(0, options.spin_microseconds)} * 1000) {
  const int num_threads = options.num_threads > 0 ? options.num_threads : DefaultThreads();
  workers_.reserve(static_cast<size_t>(num_threads - 1));
  for (int i = 1; i < num_threads; ++i) {
    const int cpu =
        options.cpu_affinity.empty() ? -1 : options.cpu_affinity[static_cast<size_t>(i) % options.cpu_affinity.size()];
    workers_.emplace_back([this, i, cpu] {
      Pin(cpu);
      WorkerMain(i);
    });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  loop_.fetch_add(1);
  loop_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

void ThreadPool::Run(int64_t n, Body body) {
  absl::MutexLock lock(&mutex_);
  RunLocked(n, body);
}

bool ThreadPool::TryRun(int64_t n, Body body) {
  if (!mutex_.TryLock()) {
    return false;
  }
  RunLocked(n, body);
  mutex_.Unlock();
  return true;
}

void ThreadPool::RunLocked(int64_t n, Body body) {
  if (n <= 1 || workers_.empty()) {
    for (int64_t i = 0; i < n; ++i) {
      body(i);
    }
    return;
  }
  TANDEM_CHECK(n < (int64_t{1} << 31), "loop of ", n);
  const uint32_t size = static_cast<uint32_t>(n);
  const uint32_t loop = loop_.load(std::memory_order_relaxed) + 1;
  body_.store(&body, std::memory_order_relaxed);
  size_.store(size, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  ticket_.store(uint64_t{loop} << 32 | size, std::memory_order_release);
  loop_.store(loop, std::memory_order_release);
  loop_.notify_all();

  Participate();
  const auto finished = [&] { return done_.load(std::memory_order_acquire) == size; };
  if (!SpinUntil(finished, max_spin_ns_)) {
    for (uint32_t done = done_.load(std::memory_order_acquire); done != size;
         done = done_.load(std::memory_order_acquire)) {
      done_.wait(done, std::memory_order_acquire);
    }
  }
}

void ThreadPool::Participate() {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  const uint64_t loop = ticket >> 32;
  while (ticket >> 32 == loop && static_cast<uint32_t>(ticket) != 0) {
    const Body* body = body_.load(std::memory_order_relaxed);
    const uint32_t size = size_.load(std::memory_order_relaxed);
    // Success means that this index was still open, so the loop is running and `body` and `size` are its own.
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acquire)) {
      continue;
    }
    (*body)(size - static_cast<uint32_t>(ticket));
    if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
      done_.notify_all();
      return;
    }
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

bool ThreadPool::WaitForLoop(uint32_t seen, int64_t& spin_budget_ns) {
  const int64_t idle_since = MonotonicNanos();
  const auto changed = [&] { return loop_.load(std::memory_order_acquire) != seen; };
  if (!SpinUntil(changed, spin_budget_ns)) {
    loop_.wait(seen, std::memory_order_acquire);
    // Spinning pays only when the next loop tends to come within the budget.
    spin_budget_ns = MonotonicNanos() - idle_since <= max_spin_ns_ ? max_spin_ns_ : spin_budget_ns / 2;
  }
  return !stopping_.load(std::memory_order_acquire);
}

void ThreadPool::WorkerMain(int index) {
  const std::string name = absl::StrCat("compute-", index);
  pthread_setname_np(pthread_self(), name.c_str());
  int64_t spin_budget_ns = max_spin_ns_;
  uint32_t seen = 0;
  while (WaitForLoop(seen, spin_budget_ns)) {
    seen = loop_.load(std::memory_order_acquire);
    Participate();
  }
}

}  // namespace tandem::compute::cpu

// Worker threads of the CPU backend.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"

namespace tandem::compute::cpu {

struct ThreadPoolOptions {
  int num_threads = 0;            // including the caller; 0: one per CPU that the process may run on
  std::vector<int> cpu_affinity;  // worker i is pinned to cpu_affinity[(i + 1) % size]; the caller is never pinned
  int spin_microseconds = 50;     // longest time that an idle worker spins before it sleeps
};

// Runs loops in parallel. The calling thread works along, so a pool of one thread has no workers. Workers (named
// "compute-N", owned and joined by the pool) spin for a moment after each loop and then sleep; the spinning stops by
// itself while loops are rare.
//
// Thread-safe: any thread may call ParallelFor. When the pool is busy with another thread's loop, Run waits for it and
// TryRun does not. A body must not call back into the pool.
class ThreadPool {
 public:
  using Body = absl::FunctionRef<void(int64_t)>;

  explicit ThreadPool(const ThreadPoolOptions& options);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(0) … body(n - 1), each once, in any order and on any thread, and returns when all are done.
  void Run(int64_t n, Body body) ABSL_LOCKS_EXCLUDED(mutex_);

  // Returns false, having done nothing, when another thread's loop is running.
  bool TryRun(int64_t n, Body body) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void RunLocked(int64_t n, Body body) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WorkerMain(int index);
  // Takes indices of the running loop until none is left.
  void Participate();
  bool WaitForLoop(uint32_t seen, int64_t& spin_budget_ns);

  const int64_t max_spin_ns_;
  absl::Mutex mutex_;  // held for the length of one loop
  // A ticket is (loop number << 32 | indices left). An index is taken by compare-and-swap, so a worker that arrives
  // late can never take one of a loop other than the one whose body it has read.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<const Body*> body_{nullptr};
  std::atomic<uint32_t> size_{0};
  std::atomic<uint32_t> done_{0};
  std::atomic<uint32_t> loop_{0};  // what sleeping workers wait on
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

// Handing a piece of work to another thread pays from about this many bytes of memory traffic on, or as many
// multiply-adds: a few microseconds.
inline constexpr int64_t kMinPieceCost = 64 << 10;

// Calls body(row) for every row (or other item of work), in pieces of at least kMinPieceCost.
template <typename RowBody>
void ForEachRow(ThreadPool& pool, int64_t num_rows, int64_t row_bytes, const RowBody& body) {
  const int64_t step = std::max<int64_t>(1, kMinPieceCost / std::max<int64_t>(1, row_bytes));
  pool.Run((num_rows + step - 1) / step, [&](int64_t piece) {
    const int64_t end = std::min(num_rows, (piece + 1) * step);
    for (int64_t row = piece * step; row < end; ++row) {
      body(row);
    }
  });
}

}  // namespace tandem::compute::cpu

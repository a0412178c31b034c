#include "transport/network_line.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"

namespace tandem::transport {

void NetworkCarrier::Add(absl::Time due, Parcel parcel) {
  absl::MutexLock lock(&mutex_);
  const auto added = under_way_.emplace(due, std::move(parcel));
  if (added == under_way_.begin()) {
    NoteNext();
    changed_.Signal();
  }
}

std::vector<NetworkCarrier::Parcel> NetworkCarrier::Remove(const void* line) {
  const auto delivered = [this, line]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return delivering_ != line; };
  std::vector<Parcel> removed;
  absl::MutexLock lock(&mutex_);
  std::erase_if(under_way_, [&](auto& entry) {
    const bool on_line = entry.second.line == line;
    if (on_line) {
      removed.push_back(std::move(entry.second));
    }
    return on_line;
  });
  NoteNext();
  mutex_.Await(absl::Condition(&delivered));
  return removed;
}

void NetworkCarrier::DeliverDue() {
  if (absl::ToUnixNanos(absl::Now()) < next_due_ns_.load(std::memory_order_acquire)) {
    return;
  }
  absl::MutexLock lock(&mutex_);
  while (!under_way_.empty() && under_way_.begin()->first <= absl::Now()) {
    DeliverFirst();
  }
}

void NetworkCarrier::Run() {
  absl::MutexLock lock(&mutex_);
  while (!stopping_) {
    if (under_way_.empty()) {
      changed_.Wait(&mutex_);
    } else if (const absl::Time wake = under_way_.begin()->first - spin_; absl::Now() >= wake) {
      DeliverFirst();
    } else if (changed_.WaitWithDeadline(&mutex_, wake)) {
      NoteLateness(absl::Now() - wake);
    }
  }
}

void NetworkCarrier::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
  changed_.Signal();
}

void NetworkCarrier::DeliverFirst() {
  const absl::Time due = under_way_.begin()->first;
  Parcel first = std::move(under_way_.begin()->second);
  under_way_.erase(under_way_.begin());
  NoteNext();
  delivering_ = first.line;
  mutex_.Unlock();
  while (absl::Now() < due) {
  }
  first.end(true);
  first.end = nullptr;
  mutex_.Lock();
  delivering_ = nullptr;
}

void NetworkCarrier::NoteNext() {
  next_due_ns_.store(under_way_.empty() ? INT64_MAX : absl::ToUnixNanos(under_way_.begin()->first),
                     std::memory_order_release);
}

// Late wake-ups count at once, early ones little by little.
void NetworkCarrier::NoteLateness(absl::Duration late) {
  spin_ = std::clamp(std::max(kLeastSpin + late, 0.9 * spin_), kLeastSpin, kMostSpin);
}

void NetworkLine::SetSpeed(absl::Duration latency, double bytes_per_second) {
  absl::MutexLock lock(&mutex_);
  latency_ = latency;
  bytes_per_second_ = bytes_per_second;
}

void NetworkLine::Send(size_t bytes, const CrossingFate& fate, NetworkCarrier::Ending end) {
  {
    absl::MutexLock lock(&mutex_);
    if (!cut_) {
      carrier_->Add(DueTime(bytes, fate), {this, std::move(end)});
      return;
    }
  }
  end(false);
}

void NetworkLine::Cut() {
  {
    absl::MutexLock lock(&mutex_);
    cut_ = true;
  }
  for (const NetworkCarrier::Parcel& parcel : carrier_->Remove(this)) {
    parcel.end(false);
  }
}

absl::Time NetworkLine::DueTime(size_t bytes, const CrossingFate& fate) {
  free_at_ = std::max(free_at_, absl::Now()) + fate.stall;
  if (bytes_per_second_ > 0) {
    free_at_ += absl::Seconds(static_cast<double>(bytes) / bytes_per_second_);
  }
  return free_at_ + latency_ + fate.delay;
}

}  // namespace tandem::transport

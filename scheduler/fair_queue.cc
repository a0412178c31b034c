#include "scheduler/fair_queue.h"

#include <algorithm>
#include <limits>

namespace tandem::scheduler {
namespace {

constexpr size_t kMaxRememberedUsers = 4096;

}  // namespace

void FairQueue::Push(uint64_t id, int32_t priority, const std::string& user) {
  const int64_t level = Level();
  User& account = users_[user];
  if (account.waiting++ == 0) {
    account.service = std::max(account.service, level);
  }
  entries_[id] = {priority, user};
  lanes_[priority][user].push_back(id);
  Forget();
}

void FairQueue::Remove(uint64_t id) {
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) {
    return;
  }
  const auto lane = lanes_.find(entry->second.priority);
  const auto of_user = lane->second.find(entry->second.user);
  std::erase(of_user->second, id);
  if (of_user->second.empty()) {
    lane->second.erase(of_user);
  }
  if (lane->second.empty()) {
    lanes_.erase(lane);
  }
  User& account = users_[entry->second.user];
  --account.waiting;
  level_ = account.service;
  entries_.erase(entry);
}

std::optional<FairQueue::Entry> FairQueue::Front() const {
  if (lanes_.empty()) {
    return std::nullopt;
  }
  const auto& [priority, users] = *lanes_.begin();
  const auto less_served = [this](const auto& a, const auto& b) {
    const int64_t service_a = users_.at(a.first).service;
    const int64_t service_b = users_.at(b.first).service;
    return service_a != service_b ? service_a < service_b : a.second.front() < b.second.front();
  };
  return Entry{std::min_element(users.begin(), users.end(), less_served)->second.front(), priority};
}

void FairQueue::Charge(const std::string& user, int64_t tokens) { users_[user].service += tokens; }

// Where a user starts who comes now: at the least service of those who wait.
int64_t FairQueue::Level() const {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& [priority, users] : lanes_) {
    for (const auto& [user, ids] : users) {
      least = std::min(least, users_.at(user).service);
    }
  }
  return lanes_.empty() ? level_ : least;
}

// Names of users come from clients: the memory for them is bounded. Those who do not wait lose their count, which is
// raised to that of the others anyway when they come back.
void FairQueue::Forget() {
  if (users_.size() > kMaxRememberedUsers) {
    absl::erase_if(users_, [](const auto& user) { return user.second.waiting == 0; });
  }
}

}  // namespace tandem::scheduler

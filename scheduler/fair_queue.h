// Who is served next among those that wait: the best priority first; within it the user who has had the least service;
// of one user the earliest request. Service is counted in tokens as they are computed (the virtual token counter of
// "Fairness in Serving Large Language Models", Sheng et al., OSDI 2024): a user with a thousand requests cannot starve
// one with a single one, and nobody saves up credit by staying away.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"

namespace tandem::scheduler {

// Holds ids only. Not thread-safe.
class FairQueue {
 public:
  void Push(uint64_t id, int32_t priority, const std::string& user);
  // Nothing happens when the id is not in the queue.
  void Remove(uint64_t id);

  struct Entry {
    uint64_t id = 0;
    int32_t priority = 0;
  };
  // The next to be served; it stays in the queue. Nothing when the queue is empty.
  std::optional<Entry> Front() const;

  // `tokens` were computed for the user.
  void Charge(const std::string& user, int64_t tokens);

  size_t size() const { return entries_.size(); }

 private:
  struct Waiting {
    int32_t priority = 0;
    std::string user;
  };
  struct User {
    int64_t service = 0;
    int64_t waiting = 0;
  };

  int64_t Level() const;
  void Forget();

  absl::flat_hash_map<uint64_t, Waiting> entries_;
  std::map<int32_t, std::map<std::string, std::deque<uint64_t>>> lanes_;  // by priority, by user
  absl::flat_hash_map<std::string, User> users_;
  int64_t level_ = 0;  // service of the user who was last in the queue, for those who come when it is empty
};

}  // namespace tandem::scheduler

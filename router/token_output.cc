#include "router/token_output.h"

#include "base/thread_name.h"

namespace tandem::router {
namespace {

constexpr size_t kMaxSteps = 1024;

}  // namespace

TokenOutput::TokenOutput() : steps_(kMaxSteps) {
  thread_ = std::thread([this] {
    SetThreadName("token-output");
    Work();
  });
}

TokenOutput::~TokenOutput() {
  steps_.Close();
  thread_.join();
}

void TokenOutput::Emit(std::vector<Item> items) {
  if (items.empty()) {
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    ++emitted_;
  }
  steps_.Push(std::move(items));
}

bool TokenOutput::AwaitDelivery(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto delivered = [this, until = emitted_]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return delivered_ >= until; };
  return mutex_.AwaitWithDeadline(absl::Condition(&delivered), deadline);
}

void TokenOutput::Work() {
  while (std::optional<std::vector<Item>> items = steps_.Pop()) {
    for (const Item& item : *items) {
      (*item.sink)(item.event);
    }
    absl::MutexLock lock(&mutex_);
    ++delivered_;
  }
}

}  // namespace tandem::router

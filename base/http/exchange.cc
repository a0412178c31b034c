#include "base/http/exchange.h"

#include <utility>

namespace tandem::http {
namespace {

class Writer final : public ResponseWriter {
 public:
  explicit Writer(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
  ~Writer() override { exchange_->Abandon(); }

  void Send(Response response) override { exchange_->Send(std::move(response)); }
  void StartStream(StreamHead head) override { exchange_->StartStream(std::move(head)); }
  bool Write(absl::string_view data) override { return exchange_->Write(data); }
  void End() override { exchange_->End(); }
  void OnClose(std::function<void()> callback) override { exchange_->OnClose(std::move(callback)); }

 private:
  const std::shared_ptr<Exchange> exchange_;
};

}  // namespace

std::shared_ptr<ResponseWriter> MakeWriter(std::shared_ptr<Exchange> exchange) {
  return std::make_shared<Writer>(std::move(exchange));
}

Exchange::Exchange(size_t max_queue_bytes, std::function<void()> wake)
    : max_queue_bytes_(max_queue_bytes), wake_(std::move(wake)) {}

void Exchange::Wake() {
  const bool first = !std::exchange(woken_, true);
  mu_.Unlock();
  if (first) {
    wake_();
  }
}

void Exchange::Send(Response response) {
  mu_.Lock();
  if (state_ == State::kWaiting) {
    state_ = State::kEnded;
    pending_.response = std::make_unique<Response>(std::move(response));
  }
  Wake();
}

void Exchange::StartStream(StreamHead head) {
  mu_.Lock();
  if (state_ == State::kWaiting) {
    state_ = State::kStreaming;
    pending_.head = std::make_unique<StreamHead>(std::move(head));
  }
  Wake();
}

bool Exchange::Write(absl::string_view data) {
  mu_.Lock();
  if (state_ != State::kStreaming) {
    mu_.Unlock();
    return false;
  }
  unsent_bytes_ += data.size();
  if (unsent_bytes_ > max_queue_bytes_) {
    state_ = State::kEnded;
    pending_.broken = true;
    Wake();
    return false;
  }
  pending_.data.append(data.data(), data.size());
  Wake();
  return true;
}

void Exchange::End() {
  mu_.Lock();
  if (state_ == State::kStreaming) {
    state_ = State::kEnded;
    pending_.end = true;
  }
  Wake();
}

void Exchange::OnClose(std::function<void()> callback) {
  std::function<void()> dropped;  // destroyed after the lock is released: it may own a writer
  bool run_now = false;
  {
    absl::MutexLock lock(&mu_);
    if (state_ != State::kClosed) {
      dropped = std::exchange(on_close_, std::move(callback));
    } else {
      run_now = client_gone_;
    }
  }
  if (run_now) {
    callback();
  }
}

void Exchange::Abandon() {
  mu_.Lock();
  if (state_ == State::kWaiting) {
    pending_.dropped = true;
    state_ = State::kEnded;
  } else if (state_ == State::kStreaming) {
    pending_.broken = true;
    state_ = State::kEnded;
  } else {
    mu_.Unlock();
    return;
  }
  Wake();
}

PendingOutput Exchange::Take() {
  absl::MutexLock lock(&mu_);
  woken_ = false;
  return std::exchange(pending_, PendingOutput());
}

void Exchange::Sent(size_t bytes) {
  absl::MutexLock lock(&mu_);
  unsent_bytes_ -= std::min(unsent_bytes_, bytes);
}

void Exchange::Close(bool client_gone) {
  std::function<void()> callback;
  {
    absl::MutexLock lock(&mu_);
    if (state_ == State::kClosed) {
      return;
    }
    state_ = State::kClosed;
    client_gone_ = client_gone;
    callback = std::move(on_close_);
    on_close_ = nullptr;
  }
  if (client_gone && callback) {
    callback();
  }
}

}  // namespace tandem::http

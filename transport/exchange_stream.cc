#include "transport/exchange_stream.h"

#include <grpcpp/generic/generic_stub.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "transport/proto_convert.h"

namespace tandem::transport {
namespace {

constexpr char kExchangeMethod[] = "/tandem.expert.v1.ExpertService/Exchange";

}  // namespace

std::shared_ptr<ExchangeStream> ExchangeStream::Start(std::shared_ptr<grpc::Channel> channel,
                                                      std::shared_ptr<PendingFrames> pending,
                                                      ExchangeStreamOptions options) {
  std::shared_ptr<ExchangeStream> stream(
      new ExchangeStream(std::move(channel), std::move(pending), std::move(options)));
  if (stream->options_.checksums == Checksums::kOn) {
    stream->context_.AddMetadata(kChecksumsMetadata, "1");
  }
  {
    absl::MutexLock lock(&stream->mutex_);
    stream->self_ = stream;
  }
  grpc::GenericStub stub(stream->channel_);
  stub.PrepareBidiStreamingCall(&stream->context_, kExchangeMethod, grpc::StubOptions(), stream.get());
  // Writes start outside of reactions; the hold keeps OnDone away until StopSending.
  stream->AddHold();
  stream->StartRead(&stream->incoming_);
  stream->StartCall();
  return stream;
}

ExchangeStream::ExchangeStream(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<PendingFrames> pending,
                               ExchangeStreamOptions options)
    : channel_(std::move(channel)), pending_(std::move(pending)), options_(std::move(options)) {}

bool ExchangeStream::open() const {
  absl::MutexLock lock(&mutex_);
  return open_;
}

void ExchangeStream::Dispatch(DispatchFrame frame, CombineCallback done) {
  const uint64_t id = pending_->Add(frame, std::move(done));
  if (id == 0) {
    return;
  }
  const absl::Status sent = Send(EncodeDispatch(id, frame, absl::Now(), options_.checksums));
  if (!sent.ok()) {
    pending_->Complete(id, sent);
  }
}

absl::Status ExchangeStream::Send(grpc::ByteBuffer message) {
  absl::MutexLock lock(&mutex_);
  if (!open_) {
    return absl::UnavailableError("connection lost");
  }
  if (outgoing_.size() >= options_.max_queued) {
    return absl::ResourceExhaustedError(absl::StrCat(options_.max_queued, " frames wait to be sent already"));
  }
  outgoing_.push_back(std::move(message));
  if (outgoing_.size() == 1) {
    StartWrite(&outgoing_.front());  // never calls back on this thread
  }
  return absl::OkStatus();
}

void ExchangeStream::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  outgoing_.pop_front();
  if (ok && open_ && !outgoing_.empty()) {
    StartWrite(&outgoing_.front());
  }
}

void ExchangeStream::OnReadDone(bool ok) {
  if (!ok) {
    StopSending();
    return;
  }
  DecodedCombine answer = DecodeCombine(incoming_, options_.checksums);
  incoming_.Clear();
  if (answer.frame_id == 0) {
    // Nobody can tell which frame this was meant for: give the stream up, and all of them are sent again.
    context_.TryCancel();
  }
  pending_->Complete(answer.frame_id, std::move(answer.result));
  StartRead(&incoming_);
}

void ExchangeStream::StopSending() {
  {
    absl::MutexLock lock(&mutex_);
    open_ = false;
  }
  RemoveHold();
}

void ExchangeStream::OnDone(const grpc::Status& status) {
  std::shared_ptr<ExchangeStream> self;
  bool lost = false;
  {
    absl::MutexLock lock(&mutex_);
    self = std::move(self_);
    lost = !closed_by_owner_;
  }
  pending_->Close(absl::UnavailableError(
      lost ? absl::StrCat("connection lost: ", status.ok() ? "closed by the worker" : status.error_message())
           : "channel closed"));
  if (lost && options_.on_lost) {
    options_.on_lost();
  }
  const std::shared_ptr<absl::Notification> done = done_;
  self.reset();
  done->Notify();
}

void ExchangeStream::Close() {
  {
    absl::MutexLock lock(&mutex_);
    closed_by_owner_ = true;
  }
  context_.TryCancel();
  done_->WaitForNotification();
}

}  // namespace tandem::transport

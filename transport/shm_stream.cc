#include "transport/shm_stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/thread_name.h"
#include "transport/shm_codec.h"
#include "transport/shm_socket.h"

namespace tandem::transport {

absl::StatusOr<std::shared_ptr<ShmStream>> ShmStream::Connect(const ShmOffer& offer, ShmStreamOptions options,
                                                              std::shared_ptr<PendingFrames> pending,
                                                              absl::Time deadline) {
  const bool polls_itself = options.doorbell == nullptr;
  if (polls_itself) {
    options.doorbell = std::make_shared<Doorbell>(kDefaultSpin);
  }
  if (!options.doorbell->fd().valid()) {
    return absl::UnavailableError("the system shares no memory between processes (memfd_create)");
  }
  ASSIGN_OR_RETURN(ShmSegment segment, ShmSegment::Create(options.sizes));
  ASSIGN_OR_RETURN(UniqueFd socket, ConnectUnix(offer.socket_path));
  const ShmHello hello{.instance = offer.instance, .sizes = options.sizes};
  RETURN_IF_ERROR(SendWithFds(socket, &hello, sizeof(hello), {segment.fd().get(), options.doorbell->fd().get()}));
  ShmWelcome welcome;
  ASSIGN_OR_RETURN(
      const std::vector<UniqueFd> fds,
      ReceiveWithFds(socket, &welcome, sizeof(welcome), 1, std::min(deadline, absl::Now() + absl::Seconds(10))));
  ASSIGN_OR_RETURN(RemoteDoorbell worker, RemoteDoorbell::Map(fds[0]));
  auto link = std::make_shared<ShmLink>(std::move(segment), ShmLink::Side::kRouter, std::move(worker),
                                        options.max_message_bytes);
  std::shared_ptr<ShmStream> stream(
      new ShmStream(std::move(socket), std::move(link), std::move(options), std::move(pending)));
  if (polls_itself) {
    stream->answers_.emplace("shm-answers", *stream->options_.doorbell, [s = stream.get()] {
      const bool idle = s->link_->Idle();
      s->Poll();
      return !idle;
    });
  }
  return stream;
}

ShmStream::ShmStream(UniqueFd socket, std::shared_ptr<ShmLink> link, ShmStreamOptions options,
                     std::shared_ptr<PendingFrames> pending)
    : socket_(std::move(socket)),
      link_(std::move(link)),
      options_(std::move(options)),
      pending_(std::move(pending)),
      peer_([this] {
        SetThreadName("shm-peer");
        WatchPeer();
      }) {}

FrameBuffer ShmStream::LendRows(size_t num_pairs, size_t bytes) {
  FrameBuffer lent = transport::LendRows(*link_, num_pairs, bytes);
  return lent.size() == bytes ? lent : FrameBuffer(bytes);
}

void ShmStream::Dispatch(DispatchFrame frame, CombineCallback done) {
  const uint64_t id = pending_->Add(frame, std::move(done));
  if (id == 0) {
    return;
  }
  if (const absl::Status valid = ValidateDispatch(frame); !valid.ok()) {
    pending_->Complete(id, valid);  // what the pairs and rows do not agree on cannot be laid out
    return;
  }
  const absl::Status sent = open_ ? SendDispatch(*link_, id, frame) : absl::UnavailableError("connection lost");
  if (!sent.ok()) {
    pending_->Complete(id, sent);
    if (absl::IsDataLoss(sent)) {
      Break(sent);
    }
  }
}

void ShmStream::Poll() {
  if (link_->Idle()) {
    return;
  }
  absl::Status status = link_->Flush();
  while (status.ok()) {
    absl::StatusOr<std::optional<FrameBuffer>> message = link_->Receive();
    if (!message.ok()) {
      status = message.status();
    } else if (!message->has_value()) {
      return;
    } else {
      ReadCombine answer = ParseCombine(**std::move(message));
      if (answer.frame_id == 0) {
        status = answer.result.status();  // nobody can tell whose answer it was: all of them are sent again
      } else {
        pending_->Complete(answer.frame_id, std::move(answer.result));
      }
    }
  }
  Break(status);
}

void ShmStream::Break(const absl::Status& why) {
  if (open_.exchange(false)) {
    pending_->Close(absl::UnavailableError(absl::StrCat("connection given up: ", why.message())));
    shutdown(socket_.get(), SHUT_RDWR);  // wakes "shm-peer" here and the worker there
  }
}

void ShmStream::WatchPeer() {
  pollfd gone{socket_.get(), POLLRDHUP, 0};
  while (poll(&gone, 1, -1) < 0 && errno == EINTR) {
  }
  if (open_) {
    Poll();  // what the worker had written before it went
  }
  open_ = false;
  pending_->Close(
      absl::UnavailableError(closed_by_owner_ ? "channel closed" : "connection lost: closed by the worker"));
  if (!closed_by_owner_ && options_.on_lost) {
    options_.on_lost();
  }
}

void ShmStream::Close() {
  std::call_once(closed_, [this] {
    closed_by_owner_ = true;
    shutdown(socket_.get(), SHUT_RDWR);
    peer_.join();
    answers_.reset();
  });
}

}  // namespace tandem::transport

#include "transport/shm_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/thread_name.h"
#include "transport/shm_codec.h"
#include "transport/shm_socket.h"

namespace tandem::transport {

// One router. Lives until its last frame has been answered, whoever else holds it.
class ShmConnection final : public FrameOrigin, public std::enable_shared_from_this<ShmConnection> {
 public:
  ShmConnection(UniqueFd socket, std::shared_ptr<ShmLink> link, const ShmServerOptions& options, ExpertHandler* handler)
      : socket_(std::move(socket)),
        link_(std::move(link)),
        max_outstanding_(options.max_outstanding_frames),
        doorbell_(options.doorbell),
        handler_(handler) {}

  int fd() const { return socket_.get(); }

  FrameBuffer Lend(size_t bytes) override { return LendOutputs(*link_, bytes); }

  // True if there was something.
  bool Poll() {
    if (closed_ || link_->Idle()) {
      return false;
    }
    absl::Status status = link_->Flush();
    while (status.ok() && unsent() < max_outstanding_) {
      absl::StatusOr<std::optional<FrameBuffer>> message = link_->Receive();
      if (!message.ok()) {
        status = message.status();
      } else if (!message->has_value()) {
        break;
      } else {
        status = HandleMessage(**std::move(message));
      }
    }
    if (!status.ok()) {
      Close();  // the router sees it and connects anew
    }
    return true;
  }

  // The router's side of the socket ends with it; frames in the handler are answered into nothing.
  void Close() {
    closed_ = true;
    MarkGone();
    shutdown(socket_.get(), SHUT_RDWR);
  }

  // Returns when every frame has been answered and the answers are in the ring, when the router is gone, or at
  // `deadline`.
  void AwaitIdle(absl::Time deadline) {
    const auto answered = [this] { return outstanding_ == 0; };
    const auto never = [] { return false; };
    awaited_ = true;
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithDeadline(absl::Condition(&answered), deadline);
    // Nobody else may be polling any more, and the router reads at its own pace.
    while (!closed_ && absl::Now() < deadline && link_->Flush().ok() && link_->backlog() > 0) {
      mutex_.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(1));
    }
  }

 private:
  int unsent() const { return outstanding_ + static_cast<int>(link_->backlog()); }

  absl::Status HandleMessage(FrameBuffer message) {
    ReadDispatch dispatch = ParseDispatch(std::move(message));
    if (dispatch.frame_id == 0) {
      return dispatch.frame.status();
    }
    ++outstanding_;
    if (!dispatch.frame.ok()) {
      Respond(dispatch.frame_id, dispatch.frame.status());
    } else {
      std::shared_ptr<ShmConnection> self = shared_from_this();
      dispatch.frame->origin = self;
      handler_->Handle(*std::move(dispatch.frame),
                       [self = std::move(self), id = dispatch.frame_id](const absl::StatusOr<CombineFrame>& result) {
                         self->Respond(id, result);
                       });
    }
    return absl::OkStatus();
  }

  void Respond(uint64_t frame_id, const absl::StatusOr<CombineFrame>& result) {
    if (!closed_ && !SendCombine(*link_, frame_id, result).ok()) {
      Close();
    }
    if (outstanding_-- >= max_outstanding_) {
      doorbell_->Ring();  // the router's frames may be read again
    }
    if (awaited_) {
      absl::MutexLock lock(&mutex_);  // whose end makes the waiter look
    }
  }

  const UniqueFd socket_;
  const std::shared_ptr<ShmLink> link_;
  const int max_outstanding_;
  const std::shared_ptr<Doorbell> doorbell_;
  ExpertHandler* const handler_;
  std::atomic<bool> closed_ = false;
  std::atomic<int> outstanding_ = 0;   // frames in the handler
  std::atomic<bool> awaited_ = false;  // AwaitIdle waits; set before it looks at outstanding_, read after a change
  absl::Mutex mutex_;                  // of that wait
};

absl::StatusOr<std::shared_ptr<ShmServer>> ShmServer::Start(ShmServerOptions options, ExpertHandler* handler) {
  const bool polls_itself = options.doorbell == nullptr;
  if (polls_itself) {
    options.doorbell = std::make_shared<Doorbell>(kDefaultSpin);
  }
  if (!options.doorbell->fd().valid()) {
    return absl::UnavailableError("the system shares no memory between processes (memfd_create)");
  }
  ASSIGN_OR_RETURN(UniqueFd listener, ListenUnix(options.socket_path));
  UniqueFd wake(eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) {
    return absl::UnavailableError("no descriptor left for an eventfd");
  }
  std::shared_ptr<ShmServer> server(new ShmServer(std::move(options), handler, std::move(listener), std::move(wake)));
  if (polls_itself) {
    server->frames_.emplace("shm-frames", *server->options_.doorbell,
                            [s = server.get()] { return s->PollConnections(); });
  }
  return server;
}

ShmServer::ShmServer(ShmServerOptions options, ExpertHandler* handler, UniqueFd listener, UniqueFd wake)
    : options_(std::move(options)),
      handler_(handler),
      listener_(std::move(listener)),
      wake_(std::move(wake)),
      offer_{options_.socket_path, (uint64_t{std::random_device()()} << 32) | std::random_device()()} {
  accept_ = std::thread([this] {
    SetThreadName("shm-accept");
    AcceptAndWatch();
  });
}

ShmServer::~ShmServer() { Shutdown(absl::InfinitePast()); }

std::shared_ptr<const ShmServer::ConnectionList> ShmServer::Connections() const {
  absl::MutexLock lock(&mutex_);
  return connections_;
}

int ShmServer::num_connections() const { return static_cast<int>(Connections()->size()); }

bool ShmServer::PollConnections() {
  if (const uint64_t version = version_; version != polled_version_) {
    polled_ = Connections();
    polled_version_ = version;
  }
  bool any = false;
  for (const std::shared_ptr<ShmConnection>& connection : *polled_) {
    any |= connection->Poll();
  }
  return any;
}

void ShmServer::SetConnections(ConnectionList connections) {
  auto list = std::make_shared<const ConnectionList>(std::move(connections));
  absl::MutexLock lock(&mutex_);
  connections_.swap(list);
  ++version_;
}

absl::Status ShmServer::Accept() {
  UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) {
    return absl::UnavailableError("nobody there any more");
  }
  ShmHello hello;
  // Routers send their hello at once; one that does not holds others up for this long.
  ASSIGN_OR_RETURN(std::vector<UniqueFd> fds,
                   ReceiveWithFds(socket, &hello, sizeof(hello), 2, absl::Now() + absl::Seconds(1)));
  if (hello.magic != ShmHello().magic || hello.instance != offer_.instance) {
    return absl::UnavailableError("meant for another worker");
  }
  ASSIGN_OR_RETURN(ShmSegment segment, ShmSegment::Adopt(std::move(fds[0]), hello.sizes));
  ASSIGN_OR_RETURN(RemoteDoorbell router, RemoteDoorbell::Map(fds[1]));
  auto link = std::make_shared<ShmLink>(std::move(segment), ShmLink::Side::kWorker, std::move(router),
                                        options_.max_message_bytes);
  const ShmWelcome welcome;
  RETURN_IF_ERROR(SendWithFds(socket, &welcome, sizeof(welcome), {options_.doorbell->fd().get()}));
  ConnectionList connections = *Connections();  // this thread alone changes the list
  connections.push_back(std::make_shared<ShmConnection>(std::move(socket), std::move(link), options_, handler_));
  SetConnections(std::move(connections));
  options_.doorbell->Ring();  // the router may have sent already
  return absl::OkStatus();
}

void ShmServer::AcceptAndWatch() {
  while (true) {
    ConnectionList connections = *Connections();
    std::vector<pollfd> fds = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const std::shared_ptr<ShmConnection>& connection : connections) {
      fds.push_back({connection->fd(), POLLRDHUP, 0});
    }
    if (poll(fds.data(), fds.size(), -1) < 0) {
      continue;
    }
    if (fds[0].revents != 0) {
      return;
    }
    size_t next = 2;
    const size_t gone = std::erase_if(connections, [&](const std::shared_ptr<ShmConnection>& connection) {
      const bool hung_up = fds[next++].revents != 0;
      if (hung_up) {
        connection->Close();
      }
      return hung_up;
    });
    if (gone > 0) {
      SetConnections(std::move(connections));
    }
    if (fds[1].revents != 0) {
      // A router that is refused sees its socket close and says so.
      Accept().IgnoreError();
    }
  }
}

void ShmServer::Shutdown(absl::Time deadline) {
  std::call_once(shutdown_, [&] {
    const uint64_t one = 1;
    TANDEM_CHECK(write(wake_.get(), &one, sizeof(one)) == sizeof(one));
    accept_.join();
    unlink(options_.socket_path.c_str());
    const std::shared_ptr<const ConnectionList> connections = Connections();
    for (const std::shared_ptr<ShmConnection>& connection : *connections) {
      connection->AwaitIdle(deadline);
      connection->Close();
    }
    frames_.reset();
  });
}

}  // namespace tandem::transport

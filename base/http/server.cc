#include "base/http/server.h"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/http/connection.h"

namespace tandem::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::chrono::milliseconds kAcceptRetry(100);

// The open connections, counted until they are destroyed.
class ConnectionSet {
 public:
  uint64_t Reserve() {
    absl::MutexLock lock(&mu_);
    open_.emplace(++last_id_, std::weak_ptr<Connection>());
    return last_id_;
  }

  void Set(uint64_t id, std::weak_ptr<Connection> connection) {
    absl::MutexLock lock(&mu_);
    open_[id] = std::move(connection);
  }

  void Remove(uint64_t id) {
    absl::MutexLock lock(&mu_);
    open_.erase(id);
  }

  size_t size() const {
    absl::MutexLock lock(&mu_);
    return open_.size();
  }

  void ForEach(void (Connection::*verb)()) {
    std::vector<std::shared_ptr<Connection>> alive;
    {
      absl::MutexLock lock(&mu_);
      for (const auto& [id, weak] : open_) {
        if (std::shared_ptr<Connection> connection = weak.lock()) {
          alive.push_back(std::move(connection));
        }
      }
    }
    for (const auto& connection : alive) {
      (connection.get()->*verb)();
    }
  }

  bool AwaitEmpty(absl::Duration timeout) {
    absl::MutexLock lock(&mu_);
    const auto empty = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return open_.empty(); };
    return mu_.AwaitWithTimeout(absl::Condition(&empty), timeout);
  }

 private:
  mutable absl::Mutex mu_;
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<uint64_t, std::weak_ptr<Connection>> open_ ABSL_GUARDED_BY(mu_);
};

class AsioServer final : public Server {
 public:
  AsioServer(ServerOptions options, Router router)
      : context_(std::make_shared<ConnectionContext>(ConnectionContext{std::move(options), std::move(router)})),
        strand_(asio::make_strand(io_)),
        acceptor_(strand_),
        retry_(strand_),
        work_(asio::make_work_guard(io_)) {}

  ~AsioServer() override { Shutdown(absl::ZeroDuration()); }

  absl::Status Listen() {
    const ServerOptions& options = context_->options;
    boost::system::error_code error;
    const asio::ip::address address = asio::ip::make_address(options.host, error);
    if (error) {
      return absl::InvalidArgumentError(
          absl::StrCat("HTTP host '", options.host, "' is not a numeric address; use for example 0.0.0.0 or ::"));
    }
    const tcp::endpoint endpoint(address, options.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot listen for HTTP on ", options.host, ":", options.port, ": ",
                                                 error.message(), "; is another server running? choose another port"));
    }
    port_ = acceptor_.local_endpoint(error).port();
    asio::post(strand_, [this] { Accept(); });
    for (int i = 0; i < std::max(options.threads, 1); ++i) {
      threads_.emplace_back([this, i] {
        pthread_setname_np(pthread_self(), absl::StrCat("http-", i).c_str());
        io_.run();
      });
    }
    return absl::OkStatus();
  }

  uint16_t port() const override { return port_; }

  bool Shutdown(absl::Duration grace) override {
    if (threads_.empty()) {
      return true;
    }
    absl::Notification closed;
    asio::post(strand_, [this, &closed] {
      boost::system::error_code ignored;
      stopping_ = true;
      acceptor_.close(ignored);
      retry_.cancel();
      closed.Notify();
    });
    closed.WaitForNotification();
    connections_->ForEach(&Connection::Drain);
    const bool clean = connections_->AwaitEmpty(grace);
    if (!clean) {
      connections_->ForEach(&Connection::Abort);
      connections_->AwaitEmpty(absl::InfiniteDuration());
    }
    work_.reset();
    for (std::thread& thread : threads_) {
      thread.join();
    }
    threads_.clear();
    return clean;
  }

 private:
  void Accept() {
    if (stopping_) {
      return;
    }
    acceptor_.async_accept(asio::make_strand(io_), [this](boost::system::error_code error, Socket socket) {
      if (stopping_) {
        return;
      }
      if (error) {  // out of file descriptors, most likely: existing connections must be able to end
        retry_.expires_after(kAcceptRetry);
        retry_.async_wait([this](boost::system::error_code) { Accept(); });
        return;
      }
      Adopt(std::move(socket));
      Accept();
    });
  }

  void Adopt(Socket socket) {
    const bool full = connections_->size() >= static_cast<size_t>(context_->options.max_connections);
    const uint64_t id = connections_->Reserve();
    auto connection =
        std::make_shared<Connection>(std::move(socket), context_, [set = connections_, id] { set->Remove(id); });
    connections_->Set(id, connection);
    full ? connection->Refuse() : connection->Start();
  }

  asio::io_context io_;
  const std::shared_ptr<ConnectionContext> context_;
  const std::shared_ptr<ConnectionSet> connections_ = std::make_shared<ConnectionSet>();
  Strand strand_;  // of the acceptor
  asio::basic_socket_acceptor<tcp, Strand> acceptor_;
  Timer retry_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  bool stopping_ = false;
  uint16_t port_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options, Router router) {
  auto server = std::make_unique<AsioServer>(std::move(options), std::move(router));
  if (absl::Status status = server->Listen(); !status.ok()) {
    return status;
  }
  return server;
}

}  // namespace tandem::http

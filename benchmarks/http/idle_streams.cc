// How much an idle event stream costs: opens many streams against one server in another process, and reports the
// server's threads and resident memory before and after, as JSON on stdout.
//
//   http_idle_streams [STREAMS=2000] [SERVER_THREADS=2]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "base/http/server.h"
#include "base/status.h"

namespace tandem::http {
namespace {

struct Process {
  double resident_mib = 0;
  int threads = 0;
};

Process Look(pid_t pid) {
  Process process;
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(status, line);) {
    const std::string value = line.substr(line.find(':') + 1);
    if (line.rfind("VmRSS:", 0) == 0) process.resident_mib = std::atof(value.c_str()) / 1024;
    if (line.rfind("Threads:", 0) == 0) process.threads = std::atoi(value.c_str());
  }
  return process;
}

// In the child: serves until its parent's end of `lifeline` closes; writes its port to `report`.
[[noreturn]] void Serve(int threads, int report, int lifeline) {
  Router router;
  absl::Mutex mu;
  std::vector<std::shared_ptr<ResponseWriter>> streams;
  router.Add("GET", "/stream", [&](Request, std::shared_ptr<ResponseWriter> writer) {
    writer->StartStream(
        {.content_type = "text/event-stream", .headers = {}, .ping_interval = absl::Seconds(15), .ping = ": ping\n\n"});
    writer->Write("data: hello\n\n");
    absl::MutexLock lock(&mu);
    streams.push_back(std::move(writer));
  });
  ServerOptions options;
  options.threads = threads;
  auto server = Server::Start(std::move(options), std::move(router));
  TANDEM_CHECK(server.ok(), server.status().message());
  const uint16_t port = (*server)->port();
  TANDEM_CHECK(write(report, &port, sizeof(port)) == sizeof(port));
  char end;
  (void)!read(lifeline, &end, 1);
  (*server)->Shutdown(absl::ZeroDuration());
  std::exit(0);
}

int OpenStream(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  TANDEM_CHECK(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, strerror(errno));
  constexpr absl::string_view kRequest = "GET /stream HTTP/1.1\r\nHost: b\r\n\r\n";
  TANDEM_CHECK(send(fd, kRequest.data(), kRequest.size(), 0) == static_cast<ssize_t>(kRequest.size()));
  std::string received;
  char chunk[4096];
  while (received.find("data: hello") == std::string::npos) {
    const ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
    TANDEM_CHECK(n > 0, "the server closed a stream");
    received.append(chunk, n);
  }
  return fd;
}

int Run(int streams, int threads) {
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int report[2];
  int lifeline[2];
  TANDEM_CHECK(pipe(report) == 0 && pipe(lifeline) == 0);
  const pid_t child = fork();
  if (child == 0) {
    close(lifeline[1]);
    Serve(threads, report[1], lifeline[0]);
  }
  uint16_t port = 0;
  TANDEM_CHECK(read(report[0], &port, sizeof(port)) == sizeof(port));
  std::vector<int> open = {OpenStream(port)};
  const Process before = Look(child);
  while (static_cast<int>(open.size()) < streams + 1) {
    open.push_back(OpenStream(port));
  }
  const Process after = Look(child);
  for (int fd : open) {
    close(fd);
  }
  close(lifeline[1]);
  int status = 0;
  waitpid(child, &status, 0);
  const nlohmann::ordered_json result = {
      {"benchmark", "http_idle_streams"},
      {"streams", streams},
      {"server_threads_flag", threads},
      {"threads_before", before.threads},
      {"threads_after", after.threads},
      {"rss_mib_before", before.resident_mib},
      {"rss_mib_after", after.resident_mib},
      {"kib_per_stream", (after.resident_mib - before.resident_mib) * 1024 / streams}};
  std::printf("%s\n", result.dump(2).c_str());
  return status;
}

}  // namespace
}  // namespace tandem::http

int main(int argc, char** argv) {
  int streams = 2000;
  int threads = 2;
  if ((argc > 1 && !absl::SimpleAtoi(argv[1], &streams)) || (argc > 2 && !absl::SimpleAtoi(argv[2], &threads)) ||
      streams < 1 || threads < 1) {
    std::fprintf(stderr, "usage: http_idle_streams [STREAMS] [SERVER_THREADS]\n");
    return 2;
  }
  return tandem::http::Run(streams, threads);
}

// The Unix socket over which a router and a worker exchange the descriptors of their shared memory, and by whose end
// each notices the other's. Messages are small and keep their borders (SOCK_SEQPACKET).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "transport/shm_segment.h"

namespace tandem::transport {

// What a router says first, with the descriptors of its segment and its doorbell. The worker answers with ShmWelcome
// and the descriptor of its own doorbell.
struct ShmHello {
  uint64_t magic = 0x32'6d'68'73'64'6e'61'74;  // "tandshm2"
  uint64_t instance = 0;                       // of the worker, from the handshake
  SegmentSizes sizes;
};
struct ShmWelcome {
  uint64_t magic = ShmHello().magic;
};

// Errors: UNAVAILABLE naming the path.
absl::StatusOr<UniqueFd> ListenUnix(const std::string& path);  // replaces a stale socket
absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path);

// Both wait until `deadline` at most. Errors: UNAVAILABLE, DEADLINE_EXCEEDED; INVALID_ARGUMENT when something else
// comes than `size` bytes and `num_fds` descriptors.
absl::Status SendWithFds(const UniqueFd& socket, const void* data, size_t size, const std::vector<int>& fds);
absl::StatusOr<std::vector<UniqueFd>> ReceiveWithFds(const UniqueFd& socket, void* data, size_t size, size_t num_fds,
                                                     absl::Time deadline);

}  // namespace tandem::transport

// TLS for both ends of the expert plane.
#pragma once

#include <string>

namespace tandem::transport {

// PEM texts, not file names. A client may leave certificate and key empty, and trusts the system's roots without `ca`.
// A server with `ca` demands client certificates signed by it.
struct TlsOptions {
  std::string ca;
  std::string certificate;
  std::string key;
};

}  // namespace tandem::transport

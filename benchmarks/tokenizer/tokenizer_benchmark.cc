// Times Encode for compare_speed.py, one run at a time, so that the driver can alternate with the peer.
//
//   tokenizer_benchmark MODEL_DIR TEXT_FILE
//
// First prints the seconds that loading took. For every line on stdin, encodes the whole text on this thread and prints
// "SECONDS IDS".
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "model/tokenizer/tokenizer.h"

namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: tokenizer_benchmark MODEL_DIR TEXT_FILE\n";
    return 2;
  }
  const Clock::time_point load_start = Clock::now();
  const auto tokenizer = tandem::model::Tokenizer::Load(argv[1]);
  if (!tokenizer.ok()) {
    std::cerr << tokenizer.status() << "\n";
    return 1;
  }
  std::printf("%.6f\n", SecondsSince(load_start));
  std::fflush(stdout);
  std::ifstream file(argv[2], std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  std::string line;
  while (std::getline(std::cin, line)) {
    const Clock::time_point start = Clock::now();
    const auto ids = (*tokenizer)->Encode(text);
    const double seconds = SecondsSince(start);
    if (!ids.ok()) {
      std::cerr << ids.status() << "\n";
      return 1;
    }
    std::printf("%.6f %zu\n", seconds, ids->size());
    std::fflush(stdout);
  }
  return 0;
}

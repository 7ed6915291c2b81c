// peer: the other end of a connection, for worlds that look at what TCP means and not at how fast it is (for that: tests/bench).
//
//   peer serve PORT                      a server, IPv6 and IPv4; the client's first byte says what it is to do (below)
//   peer DO HOST PORT [NUMBER]           one connection (HOST/4, HOST/6: in that family); prints one JSON object: {"ok":…,"bytes":…,"end":"eof|reset|refused|timeout|…","ms":…}
//
//   E echo      N bytes, as they come back; then our FIN, then the server's          (half-close by the client)
//   U upload    N bytes; the server answers how many and their checksum
//   D download  N bytes and their checksum                                           (the server closes first)
//   H hear      the server says "hello" and FIN, then listens to our N bytes; the next "last" tells what it heard (half-close by the server)
//   R rst       the server sends N bytes and, when we say that they are here, resets
//   T tear      we send N bytes and, when the server says that they are there, reset; the next "last" tells how it ended there
//   S slow      N bytes up to a server that reads 64 KiB every 10 ms
//   D sip       N bytes down to a client that does
//   Z stall     the server sends and never stops, we never read; held until standard input ends
//   Q last      what the server saw of its last H or T connection
//   open        connect and hold until the server closes; prints when and how it ended

#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kChunk = 256 * 1024;

// Bytes that depend on their place in the stream, and a checksum that does, too.
class Stream {
 public:
  void fill(std::vector<std::uint64_t>& words) {
    for (auto& word : words) word = (state_ = state_ * 6364136223846793005U + 1442695040888963407U) >> 7;
  }

 private:
  std::uint64_t state_ = 88172645463325252U;
};

class Checksum {
 public:
  void add(const char* bytes, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      word_ |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * (total_ & 7));
      if ((++total_ & 7) == 0) mix();
      // Whole words in one go: a byte at a time would be the slowest part of the test.
      while ((total_ & 7) == 0 && count - i > 8) {
        std::memcpy(&word_, bytes + i + 1, 8);
        mix();
        i += 8;
        total_ += 8;
      }
    }
  }
  std::uint64_t value() const { return (sum_ ^ word_) + total_; }
  std::uint64_t total() const { return total_; }

 private:
  void mix() {
    sum_ = (sum_ ^ word_) * 0x9e3779b97f4a7c15U;
    sum_ ^= sum_ >> 29;
    word_ = 0;
  }
  std::uint64_t sum_ = 1, word_ = 0, total_ = 0;
};

// How reading or writing ended.
const char* end_of(ssize_t count) {
  if (count == 0) return "eof";
  if (count > 0) return "error";  // more than was to come
  switch (errno) {
    case ECONNRESET:
    case EPIPE: return "reset";
    case ECONNREFUSED: return "refused";
    case EAGAIN:
    case ETIMEDOUT: return "timeout";
    default: return "error";
  }
}

bool send_all(int fd, const char* bytes, std::size_t count) {
  while (count > 0) {
    const auto sent = send(fd, bytes, count, MSG_NOSIGNAL);
    if (sent < 0) return false;
    bytes += sent;
    count -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool send_number(int fd, std::uint64_t number) { return send_all(fd, reinterpret_cast<const char*>(&number), sizeof number); }

bool receive_all(int fd, void* into, std::size_t count) {
  auto* bytes = static_cast<char*>(into);
  while (count > 0) {
    const auto got = recv(fd, bytes, count, 0);
    if (got <= 0) return false;
    bytes += got;
    count -= static_cast<std::size_t>(got);
  }
  return true;
}

// Everything until the end; tells how it ended. `pause` after each 64 KiB.
const char* swallow(int fd, Checksum& sum, std::chrono::milliseconds pause = {}) {
  std::vector<char> buffer(pause.count() > 0 ? 65536 : kChunk);
  for (;;) {
    const auto got = recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) return end_of(got);
    sum.add(buffer.data(), static_cast<std::size_t>(got));
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
  }
}

// The next `bytes`; null when they have come, else how it ended before that. `pause` after each 64 KiB.
const char* swallow(int fd, std::uint64_t bytes, Checksum& sum, std::chrono::milliseconds pause = {}) {
  std::vector<char> buffer(pause.count() > 0 ? 65536 : kChunk);
  while (sum.total() < bytes) {
    const auto got = recv(fd, buffer.data(), std::min<std::uint64_t>(buffer.size(), bytes - sum.total()), 0);
    if (got <= 0) return end_of(got);
    sum.add(buffer.data(), static_cast<std::size_t>(got));
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
  }
  return nullptr;
}

bool pour(int fd, std::uint64_t bytes, Checksum& sum) {
  Stream stream;
  std::vector<std::uint64_t> words(kChunk / 8);
  while (bytes > 0) {
    stream.fill(words);
    const auto count = std::min<std::uint64_t>(bytes, kChunk);
    const auto* data = reinterpret_cast<const char*>(words.data());
    if (!send_all(fd, data, count)) return false;
    sum.add(data, count);
    bytes -= count;
  }
  return true;
}

void reset(int fd) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

// --- the server ---

std::mutex last_lock;
std::string last = "{}";

void remember(const char* end, const Checksum& sum) {
  const std::scoped_lock held(last_lock);
  last = "{\"end\":\"" + std::string(end) + "\",\"bytes\":" + std::to_string(sum.total()) + "}";
}

void serve_echo(int fd) {
  std::array<char, 65536> buffer;
  ssize_t got = 0;
  while ((got = recv(fd, buffer.data(), buffer.size(), 0)) > 0) {
    if (!send_all(fd, buffer.data(), static_cast<std::size_t>(got))) break;
  }
}

void serve_one(int fd) {
  char what = 0;
  std::uint64_t number = 0;
  Checksum sum;
  if (!receive_all(fd, &what, 1)) what = 0;
  if ((what == 'D' || what == 'R' || what == 'T') && !receive_all(fd, &number, sizeof number)) what = 0;
  switch (what) {
    case 'E': serve_echo(fd); break;
    case 'U':
    case 'S':
      swallow(fd, sum, std::chrono::milliseconds(what == 'S' ? 10 : 0));
      send_number(fd, sum.total()) && send_number(fd, sum.value());
      break;
    case 'D': pour(fd, number, sum) && send_number(fd, sum.value()); break;
    case 'R': pour(fd, number, sum) && receive_all(fd, &what, 1); return reset(fd);
    case 'H':
      send_all(fd, "hello", 5);
      shutdown(fd, SHUT_WR);
      remember(swallow(fd, sum), sum);
      break;
    case 'T':
      if (const char* early = swallow(fd, number, sum)) {
        remember(early, sum);
      } else {
        send_all(fd, "k", 1);
        remember(swallow(fd, sum), sum);
      }
      break;
    case 'Z': pour(fd, UINT64_MAX, sum); break;
    case 'Q': {
      const std::scoped_lock held(last_lock);
      send_all(fd, last.data(), last.size());
      break;
    }
    default: break;
  }
  close(fd);
}

int serve(const char* port) {
  const int listener = socket(AF_INET6, SOCK_STREAM, 0);
  if (listener < 0) return perror("peer: a socket"), 1;
  const int on = 1, off = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_in6 name{};
  name.sin6_family = AF_INET6;
  name.sin6_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  if (bind(listener, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 || listen(listener, 1024) != 0)
    return perror("peer: listening"), 1;
  for (;;) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd >= 0) std::thread(serve_one, fd).detach();
  }
}

// --- the client ---

struct Outcome {
  bool ok = false;
  std::uint64_t bytes = 0;
  const char* end = "eof";
};

// A connected socket, or -1 with errno; waits at most five seconds.
int dial(const char* host, const char* port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  std::string name = host;
  if (const auto slash = name.find('/'); slash != name.npos) {
    hints.ai_family = name.substr(slash) == "/6" ? AF_INET6 : AF_INET;
    name.resize(slash);
  }
  if (getaddrinfo(name.c_str(), port, &hints, &found) != 0) return errno = EHOSTUNREACH, -1;
  int fd = -1;
  for (const auto* one = found; one != nullptr && fd < 0; one = one->ai_next) {
    fd = socket(one->ai_family, SOCK_STREAM, 0);
    if (fd < 0) break;
    const int syns = 2;  // about three seconds
    setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &syns, sizeof syns);
    if (connect(fd, one->ai_addr, one->ai_addrlen) == 0) break;
    const int error = errno;
    close(fd);
    fd = -1;
    errno = error;
  }
  const int error = errno;
  freeaddrinfo(found);
  errno = error;
  return fd;
}

Outcome echo(int fd, std::uint64_t bytes) {
  std::uint64_t sent = 0;
  Checksum up, down;
  std::atomic<bool> good = true;
  std::thread writer([&] {
    good = pour(fd, bytes, up);
    sent = up.total();
    shutdown(fd, SHUT_WR);
  });
  const char* end = swallow(fd, down);
  writer.join();
  return {good && down.total() == sent && down.value() == up.value() && std::strcmp(end, "eof") == 0, down.total(), end};
}

Outcome upload(int fd, std::uint64_t bytes) {
  Checksum sum;
  const bool sent = pour(fd, bytes, sum);
  shutdown(fd, SHUT_WR);
  std::array<std::uint64_t, 2> told{};
  const bool answered = receive_all(fd, told.data(), sizeof told);
  const bool good = sent && answered && told[0] == bytes && told[1] == sum.value();
  return {good, told[0], answered ? "eof" : "reset"};
}

Outcome download(int fd, std::uint64_t bytes, std::chrono::milliseconds pause) {
  send_number(fd, bytes);
  Checksum sum;
  if (const char* early = swallow(fd, bytes, sum, pause)) return {false, sum.total(), early};
  std::uint64_t told = 0;
  const bool good = receive_all(fd, &told, sizeof told) && told == sum.value();
  return {good, sum.total(), end_of(recv(fd, &told, 1, 0))};
}

Outcome hear(int fd, std::uint64_t bytes) {
  std::array<char, 6> hello{};
  const bool greeted = receive_all(fd, hello.data(), 5) && std::strcmp(hello.data(), "hello") == 0;
  const bool ended = greeted && recv(fd, hello.data(), 1, 0) == 0;
  Checksum sum;
  const bool sent = pour(fd, bytes, sum);
  return {ended && sent, sum.total(), ended ? "eof" : "reset"};
}

Outcome be_reset(int fd, std::uint64_t bytes) {
  send_number(fd, bytes);
  Checksum sum;
  if (const char* early = swallow(fd, bytes, sum)) return {false, sum.total(), early};
  send_all(fd, "k", 1);
  const char* end = swallow(fd, sum);
  return {sum.total() == bytes && std::strcmp(end, "reset") == 0, sum.total(), end};
}

Outcome tear(int fd, std::uint64_t bytes) {
  Checksum sum;
  char answer = 0;
  const bool sent = send_number(fd, bytes) && pour(fd, bytes, sum) && receive_all(fd, &answer, 1);
  reset(fd);
  return {sent, sum.total(), "reset"};
}

Outcome stall() {
  std::puts("ready");
  std::fflush(stdout);
  while (std::getchar() != EOF) {}
  return {true, 0, "eof"};
}

Outcome open_until_the_end(int fd) {
  std::puts("open");
  std::fflush(stdout);
  Checksum sum;
  return {true, 0, swallow(fd, sum)};
}

Outcome ask_last(int fd) {
  std::array<char, 256> text{};
  if (recv(fd, text.data(), text.size() - 1, 0) > 0) std::puts(text.data());
  std::exit(0);
}

int talk(const std::string& what, const char* host, const char* port, std::uint64_t number) {
  const auto began = Clock::now();
  const int fd = dial(host, port);
  Outcome outcome{.ok = false, .bytes = 0, .end = fd < 0 ? end_of(-1) : "error"};
  static const std::array<std::pair<const char*, char>, 10> kWords = {{{"echo", 'E'},
                                                                       {"upload", 'U'},
                                                                       {"download", 'D'},
                                                                       {"hear", 'H'},
                                                                       {"rst", 'R'},
                                                                       {"tear", 'T'},
                                                                       {"slow", 'S'},
                                                                       {"sip", 'D'},
                                                                       {"stall", 'Z'},
                                                                       {"last", 'Q'}}};
  char letter = 'E';
  for (const auto& [word, own] : kWords) {
    if (what == word) letter = own;
  }
  if (fd >= 0 && (what == "open" || send_all(fd, &letter, 1))) {
    switch (what == "open" ? 'O' : letter) {
      case 'E': outcome = echo(fd, number); break;
      case 'U':
      case 'S': outcome = upload(fd, number); break;
      case 'D': outcome = download(fd, number, std::chrono::milliseconds(what == "sip" ? 10 : 0)); break;
      case 'H': outcome = hear(fd, number); break;
      case 'R': outcome = be_reset(fd, number); break;
      case 'T': outcome = tear(fd, number); break;
      case 'Z': outcome = stall(); break;
      case 'O': outcome = open_until_the_end(fd); break;
      default: outcome = ask_last(fd); break;
    }
  }
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began).count();
  std::printf("{\"ok\":%s,\"bytes\":%lu,\"end\":\"%s\",\"ms\":%ld}\n", outcome.ok ? "true" : "false", outcome.bytes, outcome.end,
              static_cast<long>(took));
  return outcome.ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 3 && std::strcmp(argv[1], "serve") == 0) return serve(argv[2]);
  if (argc >= 4) return talk(argv[1], argv[2], argv[3], argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 0);
  std::fprintf(stderr,
               "usage: peer serve PORT | peer echo|upload|download|hear|rst|tear|slow|sip|stall|last|open HOST PORT [BYTES]\n");
  return 2;
}

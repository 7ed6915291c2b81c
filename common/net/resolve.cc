#include "common/net/resolve.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <system_error>
#include <thread>
#include <tuple>

#include "common/base/fd.h"
#include "common/net/descriptor.h"
#include "common/net/sockaddr.h"
#include "common/net/timer.h"

namespace culvert::net {
namespace {

// What the thread and the waiting task share.
struct Question {
  std::string host;
  Fd answered;  // eventfd
  std::vector<IpAddress> addresses;
  std::string failed;
  std::atomic<bool> done = false;  // what is above is written
};

void ask(Question& question) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(question.host.c_str(), nullptr, &hints, &found);
  if (code != 0) question.failed = code == EAI_SYSTEM ? errno_text(errno) : ::gai_strerror(code);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const IpAddress address = from_sockaddr(one->ai_addr).address;
    if (!address.is_none() && !std::ranges::contains(question.addresses, address)) question.addresses.push_back(address);
  }
  if (found != nullptr) ::freeaddrinfo(found);
  if (question.failed.empty() && question.addresses.empty()) question.failed = "no address";
  question.done = true;
  ::eventfd_write(question.answered.get(), 1);
}

}  // namespace

Task<Result<std::vector<IpAddress>>> resolve(Loop& loop, std::string host, std::chrono::milliseconds timeout) {
  if (const auto address = IpAddress::parse(host)) co_return std::vector{*address};
  const std::string doing = "resolving " + host;
  auto question = std::make_shared<Question>();
  question->host = host;
  question->answered.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Fd ours(::fcntl(question->answered.get(), F_DUPFD_CLOEXEC, 0));
  if (!question->answered || !ours) co_return failure_errno(doing, Reason::kConnectFailed);
  auto answered = Descriptor::adopt(loop, std::move(ours), /*non_blocking=*/true);
  if (!answered) co_return std::unexpected(std::move(answered.error()).during(doing));
  try {
    std::thread([question] { ask(*question); }).detach();
  } catch (const std::system_error& error) {
    co_return failure(doing + ": " + error.what(), Reason::kConnectFailed);
  }
  Timer timer(loop);
  timer.arm(timeout, [&answered] { answered->close(); });
  std::ignore = co_await answered->readable();
  if (!question->done)
    co_return failure(doing + ": no answer within " + std::to_string(timeout.count()) + "ms", Reason::kConnectFailed);
  if (!question->failed.empty()) co_return failure(doing + ": " + question->failed, Reason::kConnectFailed);
  co_return std::move(question->addresses);
}

}  // namespace culvert::net

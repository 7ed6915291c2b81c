#include "ztunnel/identity/roots_file.h"

#include <sys/stat.h>

#include <utility>

#include "common/base/file.h"
#include "common/tls/certificate.h"

namespace culvert::ztunnel {
namespace {

// Empty when it holds no roots.
std::string roots_in(const std::string& path) {
  std::string text = read_file(path).value_or("");
  return tls::Roots::parse(text) ? text : "";
}

}  // namespace

RootsFile::RootsFile(net::Loop& loop, std::string path, std::function<void()> changed, net::Clock::duration pause)
    : path_(std::move(path)), changed_(std::move(changed)), pause_(pause), mark_(mark()), text_(roots_in(path_)), timer_(loop) {
  timer_.arm(pause_, [this] { look(); });
}

RootsFile::Mark RootsFile::mark() const {
  struct stat about{};
  if (::stat(path_.c_str(), &about) != 0) return {};
  return {about.st_dev, about.st_ino, about.st_mtim.tv_sec, about.st_mtim.tv_nsec, about.st_size};
}

void RootsFile::look() {
  timer_.arm(pause_, [this] { look(); });
  if (const Mark now = mark(); std::exchange(mark_, now) == now) return;
  std::string text = roots_in(path_);
  if (text.empty() || text == text_) return;
  const bool first = std::exchange(text_, std::move(text)).empty();
  if (!first) changed_();
}

}  // namespace culvert::ztunnel

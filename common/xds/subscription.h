#pragma once
// One type of resource on a delta discovery stream, as its client sees it (protocols.md §2.2). Sans-I/O.
//
//   stream opens     -> send open()
//   response arrives -> apply() gives what changed and the reply to send once it is in force
//   stream breaks    -> nothing; open() of the next one says what is held, and the server sends the difference
//
// A resource that cannot be read is refused by name and its last good value stays in force: it is not in `removed`.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/xds/wire.h"

namespace culvert::xds {

// T needs: std::string key(const T&).
template <class T>
class Subscription {
 public:
  using Decode = Result<T> (*)(std::string_view bytes);

  Subscription(std::string_view type_url, Decode decode) : type_url_(type_url), decode_(decode) {}

  struct Applied {
    std::vector<T> changed;
    std::vector<std::string> removed;  // keys of values
    Request reply;                     // the acknowledgement, or the refusal
  };

  Request open() const {
    Request request;
    request.type_url = type_url_;
    for (const auto& [name, held] : held_) request.initial_versions.emplace(name, held.version);
    return request;
  }

  Applied apply(Response response) {
    Applied applied;
    applied.reply.type_url = type_url_;
    applied.reply.nonce = std::move(response.nonce);
    for (const std::string& name : response.removed) remove(name, applied);
    for (Resource& resource : response.resources) {
      if (auto done = take(resource, applied); !done) {
        applied.reply.error += (applied.reply.error.empty() ? "" : "; ") + resource.name + ": " + done.error().text;
        ++refused_;
      }
    }
    answered_ = true;
    return applied;
  }

  bool answered() const { return answered_; }  // has there ever been a response?
  std::size_t held() const { return held_.size(); }
  std::uint64_t refused() const { return refused_; }  // resources, ever

 private:
  // The version is that of the last good value, so that a server which meanwhile sent a bad one sees that we do not have it.
  struct Held {
    std::string version;
    std::string key;
  };

  Status take(Resource& resource, Applied& applied) {
    if (resource.type_url != type_url_) return failure("is of type " + resource.type_url + ", not " + type_url_);
    auto value = decode_(resource.value);
    if (!value) return std::unexpected(value.error());
    Held& held = held_[resource.name];
    std::string now = key(*value);
    if (!held.key.empty() && held.key != now) applied.removed.push_back(held.key);
    held = {std::move(resource.version), std::move(now)};
    applied.changed.push_back(std::move(*value));
    return {};
  }

  void remove(const std::string& name, Applied& applied) {
    const auto found = held_.find(name);
    if (found == held_.end()) return;
    applied.removed.push_back(std::move(found->second.key));
    held_.erase(found);
  }

  std::string type_url_;
  Decode decode_;
  std::map<std::string, Held> held_;
  bool answered_ = false;
  std::uint64_t refused_ = 0;
};

}  // namespace culvert::xds

#pragma once
// One type of resource on a delta discovery stream, as its client sees it (protocols.md §2.2). Sans-I/O.
//
//   stream opens     -> send open()
//   response arrives -> apply() gives what changed and the reply to send once it is in force
//   stream breaks    -> nothing; open() of the next one says what is held, and the server sends the difference
//
// Of much that is held only sums are said to a server that knows them (sums.h). It may ask for more, before it sends anything: question() is shown each
// response first. A server that does not know them takes us for one that holds nothing, so that what it sends must not be applied: it does not say what is gone.
//
// A resource that cannot be read is refused by name and its last good value stays in force: it is not in `removed`. When it never had one,
// a stand-in may take its place: what would fail open by its absence.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/xds/sums.h"
#include "common/xds/wire.h"

namespace culvert::xds {

// What is wrong with a response, "name: reason; name: reason": bounded, for it is sent back and logged.
class Complaints {
 public:
  static constexpr std::size_t kMostText = 64 * 1024;

  void add(std::string_view name, std::string_view why) {
    if (text_.size() + name.size() + why.size() > kMostText) {
      ++more_;
      return;
    }
    text_.append(text_.empty() ? "" : "; ").append(name).append(": ").append(why);
  }
  std::string take() {
    if (more_ != 0) text_.append(text_.empty() ? "" : "; ").append("and " + std::to_string(more_) + " more");
    return std::move(text_);
  }

 private:
  std::string text_;
  std::size_t more_ = 0;
};

// T needs: std::string key(const T&).
template <class T>
class Subscription {
 public:
  using Decode = Result<T> (*)(std::string_view bytes);
  using StandIn = std::optional<T> (*)(std::string_view bytes, std::string_view why);

  Subscription(std::string_view type_url, Decode decode, StandIn stand_in = nullptr)
      : type_url_(type_url), decode_(decode), stand_in_(stand_in) {}

  struct Applied {
    std::vector<T> changed;
    std::vector<std::string> removed;  // keys of values
    Request reply;                     // the acknowledgement, or the refusal
  };

  Request open() {
    Request request{.type_url = type_url_, .knows_sums = true};
    Versions held = versions([](std::string_view) { return true; });
    said_ = server_knows_sums_ && held.size() >= kParts ? Said::kSums : Said::kVersions;
    if (said_ == Said::kSums) request.sums = Sums(held).bytes();
    else request.initial_versions = std::move(held);
    return request;
  }

  // The answer to send when the server asks for what is held: then there is nothing to apply. Fails when the stream has to end, and the response may not be
  // applied: the next open() says the version of everything.
  Result<std::optional<Request>> question(const Response& response) {
    const Said said = std::exchange(said_, Said::kEnough);
    if (said == Said::kVersions || said == Said::kSums) server_knows_sums_ = response.knows_sums;
    if (said == Said::kSums && !response.knows_sums) return failure("another server, which takes what is held in another way");
    if (response.asked.none()) return std::nullopt;
    if (said != Said::kSums) {
      say_versions();
      return failure("the server asks for what it has been told");
    }
    said_ = Said::kParts;
    return Request{.type_url = type_url_,
                   .initial_versions = versions([&](std::string_view name) { return response.asked[part_of(name)]; }),
                   .nonce = response.nonce};
  }
  // To be called when the server did not like what it was told.
  void say_versions() { server_knows_sums_ = false; }

  Applied apply(Response response) {
    Applied applied;
    applied.reply.type_url = type_url_;
    applied.reply.nonce = std::move(response.nonce);
    for (const std::string& name : response.removed) remove(name, applied);
    Complaints complaints;
    for (Resource& resource : response.resources) {
      if (auto done = take(resource, applied); !done) {
        complaints.add(resource.name, done.error().text);
        ++refused_;
      }
    }
    applied.reply.error = complaints.take();
    answered_ = true;
    return applied;
  }

  bool answered() const { return answered_; }  // has there ever been a response?
  std::size_t held() const { return held_.size(); }
  std::uint64_t refused() const { return refused_; }  // resources, ever

 private:
  // The version is that of the last good value, so that a server which meanwhile sent a bad one sees that we do not have it. A stand-in
  // has none, and is named all the same: the server must say when the resource is gone.
  struct Held {
    std::string version;
    std::string key;
    bool stand_in = false;
  };

  // What the server of the present stream has been told, until it has made something of it.
  enum class Said : std::uint8_t { kEnough, kVersions, kSums, kParts };

  template <class Wanted>
  Versions versions(Wanted wanted) const {
    Versions out;
    for (const auto& [name, held] : held_)
      if (wanted(name)) out.emplace(name, held.version);
    return out;
  }

  Status take(Resource& resource, Applied& applied) {
    if (resource.type_url != type_url_) return failure("is of type " + resource.type_url + ", not " + type_url_);
    auto value = decode_(resource.value);
    if (value) {
      hold(resource.name, std::move(*value), std::move(resource.version), false, applied);
      return {};
    }
    const auto known = held_.find(resource.name);
    if (stand_in_ && (known == held_.end() || known->second.stand_in)) {
      if (auto instead = stand_in_(resource.value, value.error().text))
        hold(resource.name, std::move(*instead), "", true, applied);
    }
    return std::unexpected(value.error());
  }

  void hold(const std::string& name, T value, std::string version, bool stand_in, Applied& applied) {
    Held& held = held_[name];
    std::string now = key(value);
    if (!held.key.empty() && held.key != now) applied.removed.push_back(held.key);
    held = {std::move(version), std::move(now), stand_in};
    applied.changed.push_back(std::move(value));
  }

  void remove(const std::string& name, Applied& applied) {
    const auto found = held_.find(name);
    if (found == held_.end()) return;
    applied.removed.push_back(std::move(found->second.key));
    held_.erase(found);
  }

  std::string type_url_;
  Decode decode_;
  StandIn stand_in_;
  std::map<std::string, Held> held_;
  Said said_ = Said::kEnough;
  bool server_knows_sums_ = false;  // the last one that there was
  bool answered_ = false;
  std::uint64_t refused_ = 0;
};

}  // namespace culvert::xds

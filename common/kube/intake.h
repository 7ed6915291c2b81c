#pragma once
// Turns what the API server sends of one collection into events: pages of lists, and watches. Sans-I/O.
//
//   intake.begin_list();
//   for each page: intake.begin_page(); intake.feed_page(bytes)...; next = intake.end_page();
//   intake.end_list();                                           // what was not in it is gone
//   intake.begin_watch(false); intake.feed_watch(bytes)...       // from version() on
//
// A streaming list is a watch that begins with all that there is: begin_watch(true), and initial() until that is through.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/kube/event.h"
#include "common/kube/held.h"
#include "common/kube/object.h"
#include "common/kube/splitter.h"

namespace culvert::kube {

class Intake {
 public:
  using Tell = std::function<void(Event)>;
  // `secret`: the objects' texts are not handed on, and nothing of them stays behind.
  Intake(Splitter::Limits limits, Tell tell, bool secret = false) : limits_(limits), tell_(std::move(tell)), secret_(secret) {}

  void begin_list() { held_.begin(); }
  void begin_page();
  Status feed_page(std::string_view bytes);
  // Where the next page begins; empty after the last. Fails when this one is not whole.
  Result<std::string> end_page();
  void end_list();
  bool synced() const { return synced_; }

  void begin_watch(bool initial);
  Status feed_watch(std::string_view bytes);
  bool initial() const { return initial_; }
  std::size_t events() const { return events_; }         // of this watch, also bookmarks
  const Explanation& refused() const { return error_; }  // what the watch's ERROR event said; code 0: there was none

  // From which version a watch goes on; empty: it cannot, a list is needed.
  const std::string& version() const { return version_; }
  void forget_version() { version_.clear(); }
  std::size_t held() const { return held_.size(); }
  std::optional<std::string> version_of(const Key& key) const { return held_.version(key); }

 private:
  void page_member(std::string_view name, std::string_view value);
  void event();
  void deleted(const Meta& meta);
  void take(std::string_view object, std::string_view refused, const Meta& meta);
  void skip(const Meta& meta, std::string why, std::string_view object = {});

  Splitter::Limits limits_;
  Tell tell_;
  bool secret_;
  Held held_;
  std::string version_;
  bool synced_ = false;

  // Of the page or watch that is being read.
  Splitter splitter_;
  bool whole_ = false;
  std::string api_version_, kind_;  // of a list's items, which do not say so themselves
  Meta list_;
  bool initial_ = false;
  std::size_t events_ = 0;
  std::string type_;  // of the event
  SecretString object_;
  std::string object_refused_;
  Explanation error_;
};

}  // namespace culvert::kube

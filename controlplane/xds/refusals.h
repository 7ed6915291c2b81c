#pragma once
// What a subscriber could not take of what it was sent, by resource (protocols.md §2.2): the good resources of a refused response are in force there,
// the bad ones are not, and an acknowledgement of a later response says nothing of them unless it brought them again. Pure.

#include <map>
#include <string>
#include <string_view>

#include "controlplane/snapshot/snapshot.h"

namespace culvert::controlplane {

class Refusals {
 public:
  static constexpr std::size_t kMost = 1000;      // what goes beyond stands under no name
  static constexpr std::size_t kMostText = 1024;  // of one

  struct Refusal {
    Epoch has = 0;       // the subscriber has what the resource was up to here
    Epoch sent = 0;      // and nothing of what it became up to here
    std::string error;   // as the subscriber says it
    bool again = false;  // the response under way brings it again
  };

  // A refusal, "name: reason; name: reason", of a response that brought everything up to `sent`; before, all up to `has` was in force. What is said of
  // no resource that we know stands under "", until the stream ends.
  void refused(std::string_view text, Epoch has, Epoch sent, const Table& table);
  // A response goes out with what changed after `after`.
  void sending(const Table& table, Epoch after);
  // It was taken.
  void taken();

  // Everything up to here is in force, of what is in force up to `epoch` but for these.
  Epoch applied(Epoch epoch) const;
  // Whether something that became what it is in `epoch` is among them; null when not.
  const std::pair<const std::string, Refusal>* of(Epoch epoch) const;
  const std::map<std::string, Refusal>& all() const { return refusals_; }

 private:
  void add(std::string_view name, std::string_view reason, Epoch has, Epoch sent);

  std::map<std::string, Refusal> refusals_;
};

}  // namespace culvert::controlplane

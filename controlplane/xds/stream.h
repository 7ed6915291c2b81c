#pragma once
// One subscriber of delta discovery, without a socket (protocols.md §2.2): what it asked for, has been sent and has acknowledged.
//
// Per type at most one response is under way; what changes meanwhile is in the next one, so that a slow node costs one response of memory and
// delays nobody else. The nonce carries the epoch. Order: a policy goes out before the workloads that name it, and its removal after the workloads
// that no longer do. Whoever begins with nothing gets what all others that do so get, which may be as old as the first of them still waits for his. A
// subscriber that held resources before it connected gets only what differs, in the same order. One that does not want all ("on demand") names what it
// wants (demand.h).
//
// Who comes again may say what it holds in sums (common/xds/sums.h). They are compared with those of the last listing, so that it is known to hold what
// was served in that epoch, but for the parts that differ. If there are any the first response asks for these, and the second is the one that others get first.
//
// A ztunnel answers when all of its workers have switched, so what is answered is in force there; and when nothing is pending, all of it is.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/xds/sums.h"
#include "common/xds/wire.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/xds/demand.h"
#include "controlplane/xds/refusals.h"

namespace culvert::controlplane {

struct Push {
  Type type{};
  std::string nonce;
  std::shared_ptr<const Whole> all;  // every resource that there is, beside which `resources` is empty; null: only these
  std::vector<std::shared_ptr<const std::string>> resources;
  std::vector<std::string> removed;
  bool knows_sums = false;  // says so
  xds::Parts asked{};       // any: it brings nothing, and asks what is held in these

  std::size_t count() const { return all ? all->count : resources.size(); }
  // The response, in pieces.
  std::vector<std::shared_ptr<const std::string>> message() const;
};

class Stream {
 public:
  struct Heard {
    // kHeld: what it was asked for, of what it holds. kImpossible: the stream cannot go on.
    enum class What { kSubscription, kHeld, kAck, kNack, kStale, kUnknownType, kImpossible };
    What what = What::kStale;
    std::optional<Type> type;
    std::string error;  // kNack: what the client says; kImpossible: what is wrong with what it says
  };
  // How one type stands, for the debug pages.
  struct Progress {
    bool subscribed = false;
    Epoch sent = 0;
    Epoch acknowledged = 0;
    Epoch answered = 0;    // everything up to here has been sent and answered, with ACK or NACK
    bool waiting = false;  // a response is under way
    Refusals refusals;     // what of it is not in force all the same

    // Everything up to here is in force at the subscriber.
    Epoch applied() const { return refusals.applied(answered); }
  };

  // A request came in.
  Heard receive(xds::Request request, const Snapshot& snapshot);
  // What can be sent now, in this order. Call after each receive() and each new epoch.
  std::vector<Push> poll(const Snapshot& snapshot);

  const Progress& progress(Type type) const { return channels_[static_cast<std::size_t>(type)].progress; }
  // Everything up to this epoch has been sent, removals included: the snapshot's own epoch when nothing is pending.
  Epoch sent(const Snapshot& snapshot) const;
  // What it remembers for the client, in bytes, more or less: the names that were asked for, and what has to be told to be gone. Nearly nothing of one
  // that wants all.
  std::size_t kept() const;
  const Demand& demand(Type type) const { return at(type).demand; }
  // It is not known yet what it holds, or it has not been answered since: what it has still to say may be megabytes.
  bool beginning() const;
  // Nothing is under way and nothing is pending.
  bool current(const Snapshot& snapshot) const;

 private:
  // Where a client that came with sums does not hold what was served in epoch `progress.sent`; everywhere else it does.
  struct Differing {
    xds::Parts parts;
    bool asked = false;  // it has to say what it holds in them, or has said so
  };
  struct Channel {
    Progress progress;
    bool wildcard = false;
    bool answered = false;  // the first response is sent, however empty
    xds::Versions held;     // what the client brought along, or of that what it was asked for; until the first response
    bool knows_sums = false;
    std::unique_ptr<Differing> differing;  // it came with sums; until the first response
    Demand demand;                         // what it has asked for by name
    Epoch removals_sent = 0;
    std::vector<std::string> gone;  // policies that the client brought along and that are no more: told after the workloads
    std::size_t gone_bytes = 0;
    std::string nonce;  // of the response under way
    Epoch nonce_epoch = 0;
    bool nonce_whole = false;  // it left nothing out
  };

  Channel& at(Type type) { return channels_[static_cast<std::size_t>(type)]; }
  const Channel& at(Type type) const { return channels_[static_cast<std::size_t>(type)]; }
  static std::string_view impossible(const Channel& channel, const xds::Request& request);
  void subscribe(Type type, Channel& channel, xds::Request& request, const Snapshot& snapshot) const;  // takes what it holds
  static Demand::Source source(Type type, const Channel& channel, const Snapshot& snapshot);
  bool has_puts(Type type, const Snapshot& snapshot) const;
  bool has_removals(Type type, const Snapshot& snapshot) const;
  bool addresses_sent(const Snapshot& snapshot) const;
  void collect(Type type, const Snapshot& snapshot, bool puts, bool removals, Push& push);
  static std::vector<std::string>& gone_of(Type type, Channel& channel, Push& push);
  static void collect_difference(const Channel& channel, Type type, const Snapshot& snapshot, Demand::Answer& answer,
                                 std::vector<std::string>& gone);
  static void collect_changes(Channel& channel, const Demand::Source& source, bool puts, bool removals, Demand::Answer& answer);
  std::optional<Push> question(Type type);
  std::optional<Push> next(Type type, const Snapshot& snapshot);
  std::string expect_answer(Channel& channel, Epoch epoch);  // to the nonce that it returns
  static void answered(Channel& channel, const xds::Request& request, const Table& table);

  Channel channels_[kTypes];
  std::string node_;  // on which the client says that it runs
  std::uint64_t count_ = 0;
};

}  // namespace culvert::controlplane

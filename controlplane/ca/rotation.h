#pragma once
// A root of our own making is replaced before it ends, in steps that leave nobody without trust:
//
//   steady --(the last part of its life)--> announced: the next root is made and published beside it; the old one signs
//          --(the overlap has passed)-----> switched:  the next signs; the old one is still trusted
//          --(what it signed has ended)---> steady
//
// What is kept of it is the CA's own texts, by the names that Istio gives them (protocols.md §4.5), and three of ours: next-cert.pem and next-key.pem
// while a root is announced, rotated-at (seconds since 1970, and the old one's serial number) while that is trusted. In a Secret all of them change at once; in a folder one by one,
// in an order that may be cut anywhere. Pure but for the randomness of keys.

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/tls/authority.h"

namespace culvert::controlplane {

struct RotationPolicy {
  std::chrono::seconds overlap = std::chrono::hours(24);  // a root is published before it signs
  int grace_percent = 20;                                 // the last part of a root's life
  std::chrono::seconds root_lifetime = std::chrono::hours(24 * 3650);
  std::chrono::seconds longest_leaf = std::chrono::hours(24);  // what was signed has ended by then
  std::chrono::seconds check = std::chrono::hours(1);          // between two looks at the clock
};

struct RootLife {
  tls::SystemTime begins{}, ends{};              // of the root that signs
  std::optional<tls::SystemTime> announced;      // when the next was published
  std::optional<tls::SystemTime> switched;       // when the one before signed last
  std::optional<tls::SystemTime> previous_ends;  // of the others that are trusted, the last
};

enum class RootStep : std::uint8_t { kNone, kAnnounce, kSwitch, kRetire };
RootStep next_step(const RootLife& life, const RotationPolicy& policy, tls::SystemTime now);
std::string_view name(RootStep step);  // for the log

// The texts of a CA by their names. Holds secrets: whoever has it wipes it.
class CaTexts {
 public:
  CaTexts() = default;
  CaTexts(CaTexts&&) = default;
  CaTexts& operator=(CaTexts&&) = default;
  ~CaTexts();

  const std::string* find(const std::string& name) const;
  void set(const std::string& name, std::string text);
  void remove(const std::string& name);
  const std::map<std::string, std::string>& all() const { return texts_; }

 private:
  std::map<std::string, std::string> texts_;
};

// True when it is one that culvertd has made: then it may be replaced.
bool is_self_made(const tls::Certificate& root);
Result<bool> is_self_made(const CaTexts& texts);

// How the CA of these texts stands. Fails when they cannot be read.
Result<RootLife> life_of(const CaTexts& texts);

// One text that changes, in the order of writing. No text: it goes. It may be a key: not to be copied, and wiped in the end.
struct CaEdit {
  CaEdit(std::string its_name, std::optional<std::string> its_text) : name(std::move(its_name)), text(std::move(its_text)) {}
  CaEdit(CaEdit&&) = default;
  CaEdit& operator=(CaEdit&&) = default;
  ~CaEdit();

  std::string name;
  std::optional<std::string> text;
};
// What a step changes. `step` must be what next_step() says.
Result<std::vector<CaEdit>> edits_for(RootStep step, const CaTexts& texts, const std::string& trust_domain,
                                      const RotationPolicy& policy, tls::SystemTime now);

// A switch that was cut between certificate and key: what is left of it to do. Empty: there is nothing.
std::vector<CaEdit> rest_of_switch(const CaTexts& texts);

}  // namespace culvert::controlplane

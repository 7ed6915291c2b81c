#pragma once
// What the CNI plugin asks the node agent, and what that answers: as values and as bytes. Sans-I/O.
//
// One question and one answer a connection, each one packet of a SOCK_SEQPACKET unix socket (/var/run/culvert/agent.sock, root's alone). With
// "add" and "check" the pod's network namespace comes beside it as a descriptor, so the agent need not see the runtime's files. A packet is a JSON object:
//
//   plugin -> agent  {"version":1,"verb":"add","namespace":"shop","pod":"web-0","uid":"9d2c...","container":"a3f...",
//                     "interface":"eth0","addresses":["10.244.1.5","fd00::5"]}
//   agent -> plugin  {"version":1,"verdict":"enrolled"}                        it may start
//                    {"version":1,"verdict":"outside","why":"..."}             it may start, it is none of the mesh's
//                    {"version":1,"verdict":"refused","why":"..."}             it may not start now; "why" is for people
//
// Plugin and agent may be of different versions while a node is upgraded: members that are not known are passed over, and what one side
// cannot do without is a new number of "version".

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace culvert::ask {

inline constexpr std::size_t kMaxPacket = 16384;
inline constexpr std::size_t kMaxAddresses = 64;

enum class Verb : std::uint8_t {
  kAdd,     // a pod's sandbox is about to run
  kDel,     // it has ended, its network namespace goes
  kCheck,   // is the pod as it should be?
  kStatus,  // would an "add" be answered?
};
std::string_view name(Verb verb);  // "add"

struct Question {
  Verb verb = Verb::kStatus;
  std::string name_space = {};  // of the pod; empty for "status"
  std::string pod = {};
  std::string uid =
      {};  // as the kubelet knows the pod: of a static pod another than the API's; empty when the runtime does not tell
  std::string container = {};  // of the sandbox
  std::string interface = {};
  std::vector<std::string> addresses = {};  // that the plugins before us gave it, without prefix length

  friend bool operator==(const Question&, const Question&) = default;
};

enum class Verdict : std::uint8_t { kEnrolled, kOutside, kRefused };
std::string_view name(Verdict verdict);  // "enrolled"

struct Answer {
  Verdict verdict = Verdict::kRefused;
  std::string why = {};

  friend bool operator==(const Answer&, const Answer&) = default;
};

// Fails when it would not fit into a packet.
Result<std::string> encode(const Question& question);
// Names are checked to be such as Kubernetes gives: they go into paths of its API.
Result<Question> decode_question(std::string_view packet);

// A reason that is too long is cut.
std::string encode(const Answer& answer);
Result<Answer> decode_answer(std::string_view packet);

}  // namespace culvert::ask

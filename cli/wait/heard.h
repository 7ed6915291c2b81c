#pragma once
// What culvertd's answers to /debug/epochs mean for who waits. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace culvert::cli {

// One culvertd's answer, or why there is none.
struct Heard {
  struct Node {
    std::string node, proxy;
    bool has = false;
    bool refused = false;
    std::string why;
  };
  std::string from = {};   // its address
  std::string error = {};  // it could not be asked; the rest is empty then
  std::string instance = {};
  std::uint64_t epoch = 0;
  std::uint64_t wanted = 0;
  std::string state = {};  // of the object: "in force", "deleted", "invalid", "unknown"; empty when none was asked for
  std::string why = {};    // invalid
  bool enforced = true;
  std::vector<std::string> doubts = {};  // what of it has no effect
  std::vector<std::string> broken = {};  // unknown: what cannot be read
  std::string unseen = {};
  std::vector<Node> nodes = {};
  std::vector<std::string> absent = {}, awaited = {}, ready = {};  // nodes without a data plane here: see controlplane/epochs.h

  // Fails when this is no answer that we know.
  static Result<Heard> read(std::string from, std::string_view json);
};

struct Judgement {
  // The numbers are exit codes.
  enum class State : std::uint8_t { kApplied = 0, kUnknown = 3, kLagging = 4, kRefused = 5, kInvalid = 6 };
  State state = State::kLagging;  // all but kLagging are final
  std::size_t have = 0, connected = 0;
  std::vector<std::string> lacking;  // who has not, and why
  std::vector<std::string> notes;    // what else to know
};
// `every`: all culvertd of the mesh have been asked, so that a data plane which serves and is connected to none of them lags.
Judgement judge(const std::vector<Heard>& all, bool every = false);

}  // namespace culvert::cli

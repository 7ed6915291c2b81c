#pragma once
// `culvert wait`: returns when every connected data plane has an object's last change, or everything, in force on all of its workers; or says who has
// not, and why. The exit code:
//   0 in force everywhere   1 could not ask   3 there is no such object   4 not in time   5 a data plane refused it   6 its newest version cannot be read
//
// Covered are the data planes that are connected to the culvertd processes that are asked: with several replicas, ask each. One that went away, or
// a culvertd that began, within the last 20 s is waited for; where every culvertd of a cluster is asked, so is one whose pod is ready. Others that are
// away longer are told of and not waited for.

#include <chrono>
#include <string>

#include "cli/ask/plane.h"
#include "common/base/result.h"

namespace culvert::cli {

struct WaitOptions {
  std::string object;      // "authorizationpolicy/deny-all", "ap/shop/deny-all"; empty: everything
  std::string name_space;  // of it, when not in `object`; empty: "default"
  PlaneOptions planes;
  std::chrono::milliseconds timeout{60'000};
  bool json = false;
};
int wait(const WaitOptions& options);

// "KIND/NAMESPACE/NAME", or "KIND/NAME" of what is in no namespace, as /debug/epochs wants it; from kubectl's spelling. Pure.
Result<std::string> object_asked(const std::string& spelled, const std::string& name_space);

}  // namespace culvert::cli

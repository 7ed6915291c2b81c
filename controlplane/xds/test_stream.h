#pragma once
// One subscriber's stream over a snapshot that a test changes, for tests.

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/xds/codec.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/xds/stream.h"

namespace culvert::controlplane {

struct StreamTest : ::testing::Test {
  static model::PolicyRef policy(std::string name, bool dry_run = false) {
    model::Policy policy;
    policy.name = std::move(name);
    policy.name_space = "shop";
    policy.dry_run = dry_run;
    return std::make_shared<const model::Policy>(policy);
  }
  static model::WorkloadRef workload(std::string uid, std::vector<std::string> policies = {}) {
    model::Workload workload;
    workload.uid = std::move(uid);
    workload.policies = std::move(policies);
    return std::make_shared<const model::Workload>(workload);
  }
  void change(std::vector<model::WorkloadRef> workloads, std::vector<model::PolicyRef> policies = {},
              std::vector<std::string> removed_addresses = {}, std::vector<std::string> removed_policies = {}) {
    derive::Delta delta;
    delta.workloads = std::move(workloads);
    delta.policies = std::move(policies);
    delta.removed_addresses = std::move(removed_addresses);
    delta.removed_policies = std::move(removed_policies);
    snapshot.apply(delta);
  }
  static xds::Request ask(Type type) {
    xds::Request request;
    request.type_url = type_url(type);
    return request;
  }
  Stream::Heard::What answer(Type type, std::string nonce, std::string error = "") {
    xds::Request request = ask(type);
    request.nonce = std::move(nonce);
    request.error = std::move(error);
    return stream.receive(request, snapshot).what;
  }
  static xds::Response received(const Push& push) {
    std::string bytes;
    for (const auto& piece : push.message()) bytes += *piece;
    return *xds::decode_response(bytes);
  }
  using Held = std::map<std::string, std::string>;  // name, version
  // The first request of a client that says what it holds in sums.
  static xds::Request ask_with_sums(Type type, const Held& held) {
    xds::Request request = ask(type);
    request.knows_sums = true;
    request.sums = xds::Sums(xds::Versions(held)).bytes();
    return request;
  }
  // What it holds of the parts that it was asked for.
  Stream::Heard::What say_held(Type type, std::string nonce, const xds::Parts& asked, const Held& held) {
    xds::Request request = ask(type);
    request.nonce = std::move(nonce);
    for (const auto& [name, version] : held)
      if (asked[xds::part_of(name)]) request.initial_versions.emplace(name, version);
    return stream.receive(std::move(request), snapshot).what;
  }
  Held served(Type type) const {
    Held out;
    for (const auto& [name, resource] : snapshot.table(type).resources()) out[std::string(name)] = resource.version();
    return out;
  }
  // "WADS +shop/a -shop/b" for each response, "WDS ?2" when it asks for what is held in two parts; remembers the nonces.
  std::vector<std::string> poll() {
    std::vector<std::string> out;
    for (const Push& push : stream.poll(snapshot)) {
      const xds::Response response = received(push);
      std::string text(short_name(push.type));
      for (const auto& resource : response.resources) text += " +" + resource.name;
      for (const auto& name : response.removed) text += " -" + name;
      if (response.asked.any()) text += " ?" + std::to_string(response.asked.count());
      asked[push.type] = response.asked;
      nonce[push.type] = push.nonce;
      out.push_back(text);
    }
    return out;
  }
  void acknowledge_all() {
    for (const auto& [type, value] : std::exchange(nonce, {})) answer(type, value);
  }
  Epoch applied(Type type) const { return stream.progress(type).applied(); }
  std::string refused(Type type) const {
    std::string out;
    for (const auto& [name, refusal] : stream.progress(type).refusals.all())
      out += (out.empty() ? "" : " | ") + name + ": " + refusal.error;
    return out;
  }
  std::string version(Type type, std::string_view name) { return snapshot.table(type).find(name)->version(); }

  Snapshot snapshot;
  Stream stream;
  std::map<Type, std::string> nonce;
  std::map<Type, xds::Parts> asked;
};

}  // namespace culvert::controlplane

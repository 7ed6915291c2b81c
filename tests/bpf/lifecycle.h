#pragma once
// A node with pods a, b and c, two of them with a ztunnel: what the tests of the datapath's life begin with.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bpf/loader/datapath.h"
#include "tests/bpf/lab.h"

namespace culvert::bpf_test {

class Lifecycle : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"b", "c"}) apps_.push_back(lab_.serve(name, 80));
    for (const char* name : {"a", "b"}) ztunnels_[name] = lab_.ztunnel(name);
  }

  // Dials without pause until it is asked to stop; every answer has to start with one of `roles`.
  std::unique_ptr<Process> load_on(const std::string& from, const std::string& to, const std::vector<std::string>& roles) {
    return std::make_unique<Process>(lab_.place(from), [=](int report) { keep_dialling(to, roles, report); }, true);
  }
  // "" when nothing failed and something was done.
  static std::string verdict(Process& load) {
    load.ask_to_stop();
    return load.finish();
  }

  void enrol_all(bpf::Datapath& datapath) {
    lab_.enrol(datapath, "a", true);
    lab_.enrol(datapath, "b");
    must(datapath.activate());
  }

  Lab lab_;
  std::vector<std::unique_ptr<Process>> apps_;
  std::map<std::string, std::unique_ptr<Process>> ztunnels_;
};

}  // namespace culvert::bpf_test

#include "common/config/to_yaml.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace culvert::config {
namespace {

TEST(ToYaml, IsWrittenInTheOrderOfTheValue) {
  const boost::json::value value = boost::json::parse(R"({"b": [{"x": 1, "y": []}, "s: t"], "a": {}, "0": true})");

  EXPECT_EQ(to_yaml("a scalar"), "\"a scalar\"\n");
  EXPECT_EQ(to_yaml(value), "b:\n  - x: 1\n    y: []\n  - \"s: t\"\na: {}\n\"0\": true\n");
}

}  // namespace
}  // namespace culvert::config

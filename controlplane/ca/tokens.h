#pragma once
// Who a caller is, by its bearer token. The file has one line a node: "TOKEN NODE"; empty lines and lines that begin with # are left out. The node "*"
// stands for an authority in front of us, which may ask for every identity of the trust domain.
// Values; the file must be readable by its owner only (files.h).

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace culvert::controlplane {

class Tokens {
 public:
  static constexpr std::size_t kShortest = 16;  // characters of a token
  static constexpr std::string_view kAuthority = "*";

  static Result<Tokens> parse(std::string_view text);

  // The node that the value of an `authorization` header ("Bearer TOKEN") stands for. Takes the same time whatever is wrong with it.
  std::optional<std::string> node_of(std::string_view authorization) const;
  std::set<std::string> nodes() const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string token;
    std::string node;
  };
  std::vector<Entry> entries_;
};

}  // namespace culvert::controlplane

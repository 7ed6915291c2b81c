#pragma once
// Who selects by labels, found by the labels: of thousands of selectors only the few are compared that name one of these labels with this value.
// Plain data on one thread.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/object.h"

namespace culvert::derive {

class Selectors {
 public:
  // An empty selector is a holder of its own sort: wide(). Replaces what `name` had.
  void put(const std::string& name, config::Labels selector);
  void erase(const std::string& name);

  // Names of those whose selector, not an empty one, selects these labels. In no order; they live as long as nothing is put or erased.
  std::vector<std::string_view> selecting(const config::Labels& labels) const;
  // Names of those that have no selector.
  const std::set<std::string, std::less<>>& wide() const { return wide_; }
  bool empty() const { return held_.empty() && wide_.empty(); }

 private:
  using Holder = std::map<std::string, config::Labels>::const_iterator;
  struct Place {  // the pair of a selector under which it is found: that which the fewest others have
    std::string label, value;
  };

  Place rarest(const config::Labels& selector) const;

  std::map<std::string, config::Labels> held_;
  std::map<std::string, Place> places_;
  std::map<std::string, std::map<std::string, std::vector<Holder>>> by_pair_;  // by label, by value
  std::set<std::string, std::less<>> wide_;
};

}  // namespace culvert::derive

#pragma once
// Which names of the mesh a name from a client may mean (protocols.md §6.4). Pure.

#include <string>
#include <string_view>
#include <vector>

namespace culvert::ztunnel::dns {

// A name to look up as a service's hostname. `stripped`: it was found by taking a search domain off the client's name, so the answer
// needs a CNAME to it.
struct Candidate {
  std::string name;
  bool stripped = false;

  friend bool operator==(const Candidate&, const Candidate&) = default;
};

// In the order in which they are tried, each name once: the name itself, its Kubernetes expansions, and the same again for every
// search domain of the client that the name ends in. `name` in lower case without a final dot.
std::vector<Candidate> candidates(std::string_view name, std::string_view client_namespace, std::string_view cluster_domain);

// The wildcards that cover a name, the narrowest first: "a.b.c" gives "*.b.c", "*.c".
std::vector<std::string> wildcards(std::string_view name);

}  // namespace culvert::ztunnel::dns

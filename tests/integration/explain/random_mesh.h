#pragma once
// Meshes and connections by chance, of few names and addresses, so that much of it meets.

#include <random>
#include <string>
#include <vector>

#include "common/model/mesh.h"

namespace culvert::test {

class Chance {
 public:
  explicit Chance(std::uint64_t seed) : random_(seed) {}
  std::uint64_t next() { return random_(); }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T>
  const T& of(const std::vector<T>& all) {
    return all[below(all.size())];
  }

 private:
  std::mt19937_64 random_;
};

struct RandomMesh {
  std::vector<model::Workload> workloads;
  std::vector<model::Service> services;
  std::vector<model::Policy> policies;
};
RandomMesh make_mesh(Chance& chance);
// To a service, a workload or somewhere else.
Endpoint make_destination(Chance& chance, const RandomMesh& mesh);

}  // namespace culvert::test

// Many changes and answers in any order: what must hold whatever comes when.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>

#include "controlplane/xds/test_stream.h"

namespace culvert::controlplane {
namespace {

struct AnyOrder : StreamTest {
  explicit AnyOrder(unsigned seed) : random(seed) {}
  std::size_t pick(std::size_t below) { return random() % below; }
  void subscribe() {
    stream.receive(ask(Type::kAuthorization), snapshot);
    stream.receive(ask(Type::kAddress), snapshot);
  }

  std::mt19937 random;
};

// Workloads that name policies that come and go, and a client that answers late.
struct NamedPolicies : AnyOrder {
  NamedPolicies() : AnyOrder(42) {}

  void change_a_policy() {
    derive::Delta delta;
    const std::string name = "p" + std::to_string(pick(6)), full = "shop/" + name;
    if (policies.erase(full) > 0) {
      delta.removed_policies.push_back(full);
      for (auto& [uid, named] : workloads) {
        if (named.erase(full) > 0) delta.workloads.push_back(workload(uid, {named.begin(), named.end()}));
      }
    } else {
      policies.insert(full);
      delta.policies.push_back(policy(name));
    }
    snapshot.apply(delta);
  }
  void change_a_workload() {
    derive::Delta delta;
    const std::string uid = "w" + std::to_string(pick(8));
    if (pick(4) == 0) {
      workloads.erase(uid);
      delta.removed_addresses.push_back(uid);
    } else {
      std::set<std::string> named;
      for (const auto& one : policies) {
        if (pick(2) == 0) named.insert(one);
      }
      workloads[uid] = named;
      delta.workloads.push_back(workload(uid, {named.begin(), named.end()}));
    }
    snapshot.apply(delta);
  }
  void take(const Push& push) {
    const auto response = received(push);
    for (const auto& name : response.removed) client_workloads.erase(name), client_policies.erase(name);
    for (const auto& resource : response.resources) {
      if (push.type == Type::kAuthorization) {
        client_policies.insert(resource.name);
      } else {
        const auto named = std::get<model::Workload>(*xds::decode_address(resource.value)).policies;
        client_workloads[resource.name] = {named.begin(), named.end()};
      }
    }
    unanswered.emplace_back(push.type, push.nonce);
    for (const auto& [uid, named] : client_workloads)
      ASSERT_TRUE(std::ranges::includes(client_policies, named)) << uid << " names a policy that was not sent";
  }
  void deliver() {
    for (const Push& push : stream.poll(snapshot)) take(push);
  }
  void answer_the_oldest() {
    const auto [type, value] = unanswered.front();
    unanswered.erase(unanswered.begin());
    answer(type, value);
  }

  std::map<std::string, std::set<std::string>> workloads, client_workloads;
  std::set<std::string> policies, client_policies;
  std::vector<std::pair<Type, std::string>> unanswered;
};

// It never holds a workload that names a policy it does not hold, and ends with what is served.
TEST_F(NamedPolicies, ConvergeAndNothingNamesWhatWasNotSent) {
  subscribe();
  for (int step = 0; step < 20'000; ++step) {
    if (pick(2) == 0) pick(3) == 0 ? change_a_policy() : change_a_workload();
    if (!unanswered.empty() && pick(3) == 0) answer_the_oldest();
    if (pick(4) == 0) snapshot.forget_removals(stream.sent(snapshot));
    deliver();
  }
  while (!unanswered.empty()) {
    answer_the_oldest();
    deliver();
  }

  EXPECT_EQ(client_workloads, workloads);
  EXPECT_EQ(client_policies, policies);
  EXPECT_TRUE(stream.current(snapshot));
}

// A client that answers late, refuses some of it and comes back with what it holds.
struct RefusingClient : AnyOrder {
  RefusingClient() : AnyOrder(7) {}

  void change_something() {
    const std::string name = std::to_string(pick(6));
    switch (pick(6)) {
      case 0: change({}, {policy(name, pick(2) == 0)}); break;
      case 1: change({}, {}, {}, {"shop/" + name}); break;
      case 2: change({workload(name, {"v" + std::to_string(pick(4))})}); break;
      case 3: change({}, {}, {name}); break;
      default: break;
    }
  }
  void deliver() {
    for (const Push& push : stream.poll(snapshot)) under_way[push.type] = {push.nonce, received(push)};
  }
  void answer_one(Type type) {
    const auto [value, response] = under_way.extract(type).mapped();
    if (response.asked.any()) {
      say_held(type, value, response.asked, held[type]);
      return;
    }
    std::string error;
    for (const auto& name : response.removed) held[type].erase(name);
    for (const auto& resource : response.resources) {
      if (pick(8) == 0) error += (error.empty() ? "" : "; ") + resource.name + ": bad; luck";
      else held[type][resource.name] = resource.version;
    }
    answer(type, value, error);
  }
  void come_anew() {
    stream = Stream();
    under_way.clear();
    if (pick(2) == 0) held.clear();
    for (const Type type : {Type::kAuthorization, Type::kAddress}) {
      xds::Request request = ask(type);
      request.initial_versions = xds::Versions(held[type]);
      stream.receive(pick(2) == 0 ? request : ask_with_sums(type, held[type]), snapshot);
    }
  }
  // What is said to be in force is what it holds.
  void check(Type type) {
    const auto& progress = stream.progress(type);
    const Table& table = snapshot.table(type);
    const Epoch applied = progress.applied();
    for (const auto& [name, resource] : table.resources()) {
      const bool in_force = resource.epoch <= progress.answered && !progress.refusals.of(resource.epoch);
      if (resource.epoch > applied && !in_force) continue;
      ASSERT_TRUE(held[type].contains(std::string(name))) << name;
      ASSERT_EQ(held[type][std::string(name)], resource.version()) << name << " of epoch " << resource.epoch;
    }
    if (applied == 0) return;
    std::set<std::string> removed;
    table.after(applied, [&](std::string_view name, const Resource* resource) {
      if (!resource) removed.emplace(name);
    });
    for (const auto& [name, version] : held[type]) ASSERT_TRUE(table.find(name) || removed.contains(name)) << name;
  }

  std::map<Type, Held> held;
  std::map<Type, std::pair<std::string, xds::Response>> under_way;
  std::shared_ptr<const Whole> others;  // what somebody else began with
};

TEST_F(RefusingClient, HoldsWhatIsCalledInForce) {
  subscribe();
  std::size_t whole = 0;
  for (int step = 0; step < 20'000; ++step) {
    change_something();
    deliver();
    for (const Type type : {Type::kAddress, Type::kAuthorization}) {
      if (under_way.contains(type) && pick(3) == 0) answer_one(type);
      deliver();
      check(type);
      whole += stream.progress(type).applied() == snapshot.epoch();
    }
    if (pick(4) == 0)
      snapshot.forget_removals(std::min({stream.sent(snapshot), applied(Type::kAddress), applied(Type::kAuthorization)}));
    if (pick(50) == 0) others = pick(2) == 0 ? snapshot.whole() : nullptr;
    if (pick(500) == 0) come_anew();
  }
  EXPECT_GT(whole, 1000U) << "that it holds everything is said often enough";
}

// Clients that come with what was served some time ago, more or less, one after the other.
struct ComingClients : AnyOrder {
  ComingClients() : AnyOrder(21) {}

  void change_something() {
    const std::string name = "w" + std::to_string(pick(40));
    if (pick(3) == 0) change({}, {}, {name});
    else change({workload(name, {"v" + std::to_string(pick(3))})});
    if (pick(2) == 0) snapshot.forget_removals(snapshot.epoch());
    if (pick(50) == 0) snapshot.drop_listings();
    past[pick(past.size())] = served(Type::kAddress);
  }
  std::string expected(const Held& held) const {
    std::string put, removed;
    const Held now = served(Type::kAddress);
    for (const auto& [name, version] : now)
      if (const auto has = held.find(name); has == held.end() || has->second != version) put += " +" + name;
    for (const auto& [name, version] : held)
      if (!now.contains(name)) removed += " -" + name;
    return "WDS" + put + removed;
  }
  std::string come(const Held& held) {
    xds::Request request = ask(Type::kAddress);
    request.initial_versions = xds::Versions(held);
    stream = Stream();
    stream.receive(request, snapshot);
    return poll().at(0);
  }
  // What it holds then.
  Held come_with_sums(Held held) {
    stream = Stream();
    stream.receive(ask_with_sums(Type::kAddress, held), snapshot);
    xds::Response response = received(stream.poll(snapshot).at(0));
    if (response.asked.any()) {
      say_held(Type::kAddress, response.nonce, response.asked, held);
      response = received(stream.poll(snapshot).at(0));
    }
    for (const auto& name : response.removed) held.erase(name);
    for (const auto& resource : response.resources) held[resource.name] = resource.version;
    return held;
  }

  std::vector<Held> past = std::vector<Held>(10);
};

TEST_F(ComingClients, GetTheDifferenceFromWhatIsServedNow) {
  for (int step = 0; step < 3'000; ++step) {
    change_something();
    Held held = past[pick(past.size())];
    if (pick(4) == 0) held["w" + std::to_string(pick(40))] = "of another mesh";

    ASSERT_EQ(come(held), expected(held)) << "step " << step;
    if (pick(20) > 0) continue;
    ASSERT_EQ(come_with_sums(held), served(Type::kAddress)) << "step " << step;
  }
}

// A client that asks for addresses by name, out of few, while workloads and services come, go and move; and that comes anew with what it holds.
struct DemandingClient : AnyOrder {
  DemandingClient() : AnyOrder(77) {}

  std::string some_address() { return "10.0.0." + std::to_string(pick(12)); }
  std::string some_range() { return "10.0.0." + std::to_string(4 * pick(3)) + (pick(2) == 0 ? "/30" : "/29"); }
  void change_something() {
    derive::Delta delta;
    if (pick(3) > 0) {
      const std::string uid = "w" + std::to_string(pick(10));
      if (pick(4) == 0) {
        workloads.erase(uid);
        delta.removed_addresses.push_back(uid);
      } else {
        model::Workload& one = workloads[uid];
        one = {};
        one.uid = uid;
        one.addresses = {*IpAddress::parse(some_address())};
        one.node = "n" + std::to_string(pick(6));
        for (int i = 0; i < 2; ++i) one.services["shop/s" + std::to_string(pick(4))];
        delta.workloads.push_back(std::make_shared<const model::Workload>(one));
      }
    } else {
      const std::string name = "s" + std::to_string(pick(4)), key = "shop/" + name;
      if (pick(4) == 0) {
        services.erase(key);
        delta.removed_addresses.push_back(key);
      } else {
        model::Service& one = services[key];
        one = {};
        one.name_space = "shop";
        one.hostname = name;
        one.vips = {{"", *Cidr::parse(pick(3) == 0 ? some_range() : some_address() + "/32")}};
        delta.services.push_back(std::make_shared<const model::Service>(one));
      }
    }
    snapshot.apply(delta);
  }
  void begin() {
    xds::Request request = ask(Type::kAddress);
    request.node = {.id = "ztunnel", .metadata = {{"NODE_NAME", "n0"}}};
    request.subscribe = request.unsubscribe = {"*"};
    std::map<std::string, std::string> brought = held;
    for (const std::string& name : pending) brought[name] = "";
    request.initial_versions = xds::Versions(brought);
    stream = Stream();
    under_way.reset();
    stream.receive(request, snapshot);
  }
  void demand() {
    const std::string names[] = {"/" + some_address(), "w" + std::to_string(pick(10)), "shop/s" + std::to_string(pick(4))};
    xds::Request request = ask(Type::kAddress);
    request.subscribe = {names[pick(3)]};
    asked.insert(request.subscribe[0]);
    pending.insert(request.subscribe[0]);
    stream.receive(request, snapshot);
  }
  void deliver() {
    for (const Push& push : stream.poll(snapshot)) {
      const auto response = received(push);
      under_way = push.nonce;
      for (const auto& name : response.removed) {
        ASSERT_TRUE(held.erase(name) > 0 || asked.contains(name)) << name << " is nothing to it";
        pending.erase(name);
      }
      std::set<std::string> once;
      for (const auto& resource : response.resources) {
        ASSERT_TRUE(once.insert(resource.name).second) << resource.name << " is there twice";
        held[resource.name] = resource.version;
        pending.erase(resource.name);
        for (const std::string& alias : resource.aliases) pending.erase(alias);
      }
    }
  }
  void settle() {
    for (deliver(); under_way; deliver()) answer(Type::kAddress, *std::exchange(under_way, std::nullopt));
  }
  bool is_asked(const model::Service& service) const {
    return asked.contains(service.key()) || std::ranges::any_of(asked, [&](const std::string& name) {
             const auto address = model::NetworkAddress::parse(name);
             return address && service.vips[0].range.contains(address->address);
           });
  }
  // It asks for nothing again: what it holds is what it wants, and who else has the addresses of that.
  void come_anew() {
    asked = pending;
    if (pick(2) == 0) held.clear();
    for (const auto& [name, version] : held) {
      const auto workload = workloads.find(name);
      if (workload != workloads.end()) asked.insert("/" + workload->second.addresses[0].text());
      const auto service = services.find(name);
      if (service != services.end() && service->second.vips[0].is_host())
        asked.insert("/" + service->second.vips[0].range.address.text());
    }
    begin();
    deliver();
  }
  // What it must hold by now, of what it has asked for since it came.
  std::set<std::string> due() const {
    std::set<std::string> out;
    for (const auto& [key, service] : services)
      if (is_asked(service)) out.insert(key);
    for (const auto& [uid, one] : workloads) {
      const bool endpoint = std::ranges::any_of(one.services, [&](const auto& service) { return out.contains(service.first); });
      if (endpoint || one.node == "n0" || asked.contains(uid) || asked.contains("/" + one.addresses[0].text())) out.insert(uid);
    }
    return out;
  }
  void check() {
    ASSERT_TRUE(stream.current(snapshot));
    ASSERT_TRUE(pending.empty()) << *pending.begin() << " is not answered";
    for (const auto& [name, version] : held) {
      const Resource* resource = snapshot.table(Type::kAddress).find(name);
      ASSERT_TRUE(resource) << name << " is gone";
      ASSERT_TRUE(resource->is_of(version)) << name << " is another";
    }
    for (const std::string& name : due()) ASSERT_TRUE(held.contains(name)) << name;
  }

  std::map<std::string, model::Workload> workloads;
  std::map<std::string, model::Service> services;
  std::set<std::string> asked, pending;
  std::map<std::string, std::string> held;  // versions
  std::optional<std::string> under_way;
};

TEST_F(DemandingClient, HoldsWhatItAskedForAsItIs) {
  begin();
  for (int step = 0; step < 20'000; ++step) {
    if (pick(2) == 0) change_something();
    if (pick(8) == 0) demand();
    if (pick(2) == 0) deliver();
    if (under_way && pick(3) == 0) answer(Type::kAddress, *std::exchange(under_way, std::nullopt));
    if (pick(4) == 0) snapshot.forget_removals(stream.sent(snapshot));
    if (pick(60) == 0) {
      settle();
      check();
      if (HasFatalFailure()) FAIL() << "step " << step;
    }
    if (pick(300) == 0) come_anew();
  }
}

}  // namespace
}  // namespace culvert::controlplane

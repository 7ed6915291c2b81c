#include "ztunnel/worker/worker.h"

#include <gtest/gtest.h>

#include "common/net/timer.h"

namespace culvert::ztunnel {
namespace {

using namespace std::chrono_literals;

// A worker on the control thread's own loop, with one pod and the mesh that knows it.
struct OneWorker : testing::Test {
  net::Loop loop;
  Settings settings = [] {
    Settings out;
    out.node_name = "n1";
    return out;
  }();
  model::MeshBuilder builder;
  net::Published<model::Mesh> published{loop};
  std::optional<Worker> worker;
  std::shared_ptr<Pod> pod;
  model::Workload own;

  OneWorker() {
    own.uid = "c1//Pod/shop/web", own.name = own.service_account = "web", own.name_space = "shop", own.node = "n1";
    Worker::Parts parts;
    parts.loop = &loop;
    parts.settings = &settings;
    parts.mesh = published.view(loop);
    parts.ask_certificate = [](const Identity&) {};
    worker.emplace(std::move(parts));
    pod = worker->add_pod({.uid = "u", .name = "web", .name_space = "shop", .service_account = "web"}, {}, {});
    builder.upsert(own);
    publish();
  }
  void publish() {
    loop.run([](OneWorker* self) -> net::Task<> {
      net::Event done(self->loop);
      self->published.publish(self->builder.build(), [&] { done.set(); });
      co_await done.wait();
    }(this));
  }
  static model::Policy deny_all(model::Policy::Scope scope = model::Policy::Scope::kNamespace) {
    model::Policy out{.name = "deny", .name_space = "shop", .scope = scope, .action = model::Policy::Action::kDeny};
    out.rules.emplace_back();
    return out;
  }
  static Connection inbound() {
    Connection out;
    out.way = Connection::Way::kInbound;
    out.peer.emplace();
    return out;
  }
};

TEST_F(OneWorker, APolicyEndsTheConnectionsThatItDenies) {
  LiveSet::Entry in(pod->live, inbound(), {}), out(pod->live, {}, {});
  publish();
  EXPECT_EQ(in.stopped(), Reason::kNone);

  builder.upsert(deny_all());
  publish();

  EXPECT_EQ(in.stopped(), Reason::kPolicyChanged);
  EXPECT_EQ(out.stopped(), Reason::kNone);
}

TEST_F(OneWorker, APolicyThatCameWhileTheWorkloadWasUnknownIsNotForgotten) {
  LiveSet::Entry in(pod->live, inbound(), {});
  publish();
  builder.remove_workload(own.uid);
  publish();
  builder.upsert(deny_all());
  publish();
  EXPECT_EQ(in.stopped(), Reason::kNone);

  builder.upsert(own);
  publish();

  EXPECT_EQ(in.stopped(), Reason::kPolicyChanged);
}

TEST_F(OneWorker, ALateConnectionIsCheckedByWhatCameBeforeIt) {
  {
    const LiveSet::Entry first(pod->live, inbound(), {});
    publish();
  }
  own.policies = {"shop/deny"};  // named, not there yet: this one was let in before, say, by another name
  builder.upsert(own);
  publish();
  LiveSet::Entry in(pod->live, inbound(), {});
  publish();
  EXPECT_EQ(in.stopped(), Reason::kNone) << "what is unknown cuts nothing";

  builder.upsert(deny_all(model::Policy::Scope::kWorkloadSelector));
  publish();

  EXPECT_EQ(in.stopped(), Reason::kPolicyChanged);
}

TEST_F(OneWorker, APodIsTheWorkloadOfItsOwnNode) {
  auto elsewhere = own;
  elsewhere.uid = "c2//Pod/shop/web", elsewhere.node = "n2";
  builder.upsert(elsewhere);
  publish();
  EXPECT_EQ(worker->own_workload(*pod)->uid, own.uid);

  builder.remove_workload(own.uid);
  publish();
  EXPECT_EQ(worker->own_workload(*pod), nullptr);
}

TEST_F(OneWorker, BaggageIsMadeOnceForEachVersionOfTheWorkload) {
  const auto& text = pod->baggage_of(worker->own_workload(*pod));
  EXPECT_EQ(text, "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop");

  own.workload_name = "web";
  builder.upsert(own);
  publish();

  EXPECT_EQ(pod->baggage_of(worker->own_workload(*pod)),
            "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.deployment.name=web");
}

}  // namespace
}  // namespace culvert::ztunnel

// What the kubelet dials of a pod. Read past what is told of fields that nobody reads: who only wants to know this follows no probe.
#include <charconv>

#include "common/config/read.h"

namespace culvert::config {
namespace {

// As the kubelet resolves it: a name among the container's own ports, or digits.
std::uint16_t resolved(const PortRef& port, const std::vector<ContainerPort>& ports) {
  if (port.number != 0) return port.number;
  for (const auto& named : ports) {
    if (!port.name.empty() && named.name == port.name) return named.port;
  }
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.name.data(), port.name.data() + port.name.size(), number);
  return error == std::errc() && end == port.name.data() + port.name.size() ? number : 0;
}

struct Dials {
  std::vector<Dialled>& out;
  std::string container;
  std::vector<ContainerPort> ports;

  void add(Fields& action, bool has_host) {
    const auto port = resolved(action.port_ref("port").value_or(PortRef{}), ports);
    if (port != 0) out.push_back({container, port, has_host ? action.text("host") : std::string()});
  }
};

void read_container(Fields& fields, std::vector<Dialled>& out) {
  Dials dials{.out = out, .container = fields.text("name"), .ports = {}};
  fields.each("ports", [&](Fields& port) { dials.ports.push_back({port.text("name"), port.port("containerPort"), {}}); });
  for (const char* probe : {"startupProbe", "readinessProbe", "livenessProbe"}) {
    fields.map(probe, [&](Fields& of) {
      of.map("httpGet", [&](Fields& action) { dials.add(action, true); });
      of.map("tcpSocket", [&](Fields& action) { dials.add(action, true); });
      of.map("grpc", [&](Fields& action) { dials.add(action, false); });
    });
  }
  fields.map("lifecycle", [&](Fields& lifecycle) {  // its tcpSocket is refused by every kubelet
    for (const char* when : {"postStart", "preStop"}) {
      lifecycle.map(when, [&](Fields& of) { of.map("httpGet", [&](Fields& action) { dials.add(action, true); }); });
    }
  });
}

}  // namespace

std::vector<Dialled> read_dialled(const Tree* containers) {
  std::vector<Dialled> out;
  if (containers == nullptr || containers->type != Tree::Type::kList) return out;
  Report unheard{.file = {}, .object = {}, .strict = false, .problems = {}, .unread = {}};
  for (const auto& container : containers->items) {
    if (container.type != Tree::Type::kMap) continue;
    Fields fields(unheard, container, "");
    read_container(fields, out);
  }
  return out;
}

}  // namespace culvert::config

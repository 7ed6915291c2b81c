// The files that kubectl reads (client.config v1): clusters, users and contexts by name; the first of several files wins.

#include <yaml-cpp/yaml.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <filesystem>

#include "common/base/base64.h"
#include "common/base/file.h"
#include "common/base/format.h"
#include "common/kube/credentials.h"

namespace culvert::kube {
namespace {

namespace json = boost::json;

struct File {
  std::string path;
  YAML::Node root;
};

// A named part of a file: "PATH: users[admin].user".
struct Part {
  std::string path;
  std::string where;
  YAML::Node node;

  std::unexpected<Error> refuse(std::string_view field, std::string_view why) const {
    return failure(culvert::format("{}: {}{}{}: {}", path, where, field.empty() ? "" : ".", field, why));
  }
  YAML::Node at(const char* field) const { return node.IsMap() ? node[field] : YAML::Node(YAML::NodeType::Undefined); }
  bool has(const char* field) const {
    const YAML::Node value = at(field);
    return value.IsDefined() && !value.IsNull() && !(value.IsScalar() && value.Scalar().empty());
  }
  std::string text(const char* field) const { return has(field) && at(field).IsScalar() ? at(field).Scalar() : std::string(); }
  // Relative to the file that names it.
  std::string file(const char* field) const {
    const std::string name = text(field);
    return name.empty() ? name : (std::filesystem::path(path).parent_path() / name).string();
  }
};

// FIELD-data in the file itself, or FIELD, which is the path of another.
Result<Text> text_or_file(const Part& part, const std::string& field) {
  const std::string data = field + "-data";
  if (!part.has(data.c_str())) return Text{.file = part.file(field.c_str())};
  auto value = from_base64(part.text(data.c_str()));
  if (!value || value->empty()) return part.refuse(data, "is not base64");
  return Text{.value = std::move(*value)};
}

// The member `inner` of the element called `name` of the list `list`, of the first file that has it.
Result<Part> find(const std::vector<File>& files, const char* list, const char* inner, const std::string& name) {
  std::string known;
  for (const File& file : files) {
    const YAML::Node entries = file.root[list];
    if (!entries.IsDefined() || !entries.IsSequence()) continue;
    for (const YAML::Node& entry : entries) {
      const Part whole{file.path, list, entry};
      if (whole.text("name") == name) return Part{file.path, culvert::format("{}[{}].{}", list, name, inner), whole.at(inner)};
      known.append(known.empty() ? "" : ", ").append(whole.text("name"));
    }
  }
  return failure(culvert::format("{}: there is no {} in {} (there are: {})", files.front().path,
                                 name.empty() ? "name" : "\"" + name + "\"", list, known.empty() ? "none" : known));
}

Result<Server> read_server(const Part& cluster) {
  std::string url = cluster.text("server");
  if (url.empty()) return cluster.refuse("server", "is missing");
  if (url.starts_with("http://"))
    return cluster.refuse("server", "plain HTTP would show our credentials to everybody (use https)");
  if (url.find("://") == std::string::npos) url.insert(0, "https://");
  if (!url.starts_with("https://")) return cluster.refuse("server", "is no https URL: " + url);
  std::string_view rest = std::string_view(url).substr(8);
  const auto slash = rest.find('/');
  Server server;
  if (slash != std::string_view::npos) server.prefix = rest.substr(slash);
  while (server.prefix.ends_with('/')) server.prefix.pop_back();
  rest = rest.substr(0, slash);
  std::string_view port;
  if (rest.starts_with('[')) {
    const auto close = rest.find(']');
    if (close == std::string_view::npos) return cluster.refuse("server", "is no URL: " + url);
    server.host = rest.substr(1, close - 1);
    port = rest.substr(close + 1);
  } else {
    const auto colon = rest.find(':');
    server.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) port = rest.substr(colon);
  }
  if (!port.empty()) {
    const auto [end, failed] = std::from_chars(port.data() + 1, port.data() + port.size(), server.port);
    if (port.front() != ':' || failed != std::errc() || end != port.data() + port.size() || server.port == 0)
      return cluster.refuse("server", "has no port that can be: " + url);
  }
  if (server.host.empty() || server.host.find_first_of("@?#% ") != std::string::npos)
    return cluster.refuse("server", "has no host that can be: " + url);
  server.tls_name = cluster.has("tls-server-name") ? cluster.text("tls-server-name") : server.host;
  return server;
}

Status read_cluster(const Part& cluster, Credentials& out) {
  auto server = read_server(cluster);
  if (!server) return std::unexpected(std::move(server).error());
  out.server = std::move(*server);
  if (cluster.text("insecure-skip-tls-verify") == "true")
    return cluster.refuse("insecure-skip-tls-verify", "anybody could pose as the API server (name its certificate-authority)");
  if (cluster.has("proxy-url")) return cluster.refuse("proxy-url", "going through a proxy is not supported");
  auto roots = text_or_file(cluster, "certificate-authority");
  if (!roots) return std::unexpected(std::move(roots).error());
  if (!roots->present()) roots->file = "/etc/ssl/certs/ca-certificates.crt";  // the system's, as kubectl does
  out.roots = std::move(*roots);
  return {};
}

std::string plugin_info(const Part& exec, const Part& cluster, const Credentials& so_far) {
  json::object spec{{"interactive", false}};
  if (exec.text("provideClusterInfo") == "true") {
    json::object about{{"server", cluster.text("server")}};
    if (cluster.has("certificate-authority-data"))
      about["certificate-authority-data"] = cluster.text("certificate-authority-data");
    if (cluster.has("tls-server-name")) about["tls-server-name"] = so_far.server.tls_name;
    spec["cluster"] = std::move(about);
  }
  return json::serialize(
      json::object{{"apiVersion", exec.text("apiVersion")}, {"kind", "ExecCredential"}, {"spec", std::move(spec)}});
}

Result<Plugin> read_plugin(const Part& exec, const Part& cluster, const Credentials& so_far) {
  Plugin plugin{.api_version = exec.text("apiVersion"), .command = exec.text("command"), .hint = exec.text("installHint")};
  if (plugin.api_version != "client.authentication.k8s.io/v1" && plugin.api_version != "client.authentication.k8s.io/v1beta1")
    return exec.refuse("apiVersion", "\"" + plugin.api_version + "\" is not supported (client.authentication.k8s.io/v1 is)");
  if (plugin.command.empty()) return exec.refuse("command", "is missing");
  if (exec.text("interactiveMode") == "Always") return exec.refuse("interactiveMode", "there is nobody here to ask");
  if (plugin.command.find('/') != std::string::npos) plugin.command = exec.file("command");
  if (exec.has("args") && exec.at("args").IsSequence()) {
    for (const YAML::Node& argument : exec.at("args")) plugin.arguments.push_back(argument.as<std::string>());
  }
  if (exec.has("env") && exec.at("env").IsSequence()) {
    for (const YAML::Node& variable : exec.at("env")) {
      const Part one{exec.path, exec.where + ".env", variable};
      plugin.environment[one.text("name")] = one.text("value");
    }
  }
  plugin.info = plugin_info(exec, cluster, so_far);
  return plugin;
}

Status read_user(const Part& user, const Part& cluster, Credentials& out) {
  for (const char* field : {"username", "password"}) {
    if (user.has(field)) return user.refuse(field, "no API server takes passwords any more (use a token or a certificate)");
  }
  if (user.has("auth-provider")) return user.refuse("auth-provider", "is gone from Kubernetes (use an exec plugin)");
  for (const char* field : {"as", "as-uid", "as-groups", "as-user-extra"}) {
    if (user.has(field)) return user.refuse(field, "acting as somebody else is not supported");
  }
  for (const auto& [field, text] : {std::pair{"client-certificate", &out.certificate}, std::pair{"client-key", &out.key}}) {
    auto read = text_or_file(user, field);
    if (!read) return std::unexpected(std::move(read).error());
    *text = std::move(*read);
  }
  if (out.certificate.present() && !out.key.present())
    return user.refuse("client-key", "is missing, client-certificate needs it");
  if (out.key.present() && !out.certificate.present())
    return user.refuse("client-certificate", "is missing, client-key needs it");
  out.token = {.file = user.file("tokenFile"), .value = user.text("token")};
  if (user.has("token") && user.has("tokenFile")) out.token.value.clear();  // the file wins
  if (!user.has("exec")) return {};
  auto plugin = read_plugin({user.path, user.where + ".exec", user.at("exec")}, cluster, out);
  if (!plugin) return std::unexpected(std::move(plugin).error());
  out.plugin = std::move(*plugin);
  return {};
}

Result<Credentials> read_files(const std::vector<File>& files, std::string context) {
  if (context.empty()) {
    for (const File& file : files) {
      if (context.empty()) context = Part{file.path, "", file.root}.text("current-context");
    }
    if (context.empty()) return failure(files.front().path + ": current-context is not set (name a context)");
  }
  auto chosen = find(files, "contexts", "context", context);
  if (!chosen) return std::unexpected(std::move(chosen).error());
  auto cluster = find(files, "clusters", "cluster", chosen->text("cluster"));
  if (!cluster) return std::unexpected(std::move(cluster).error());
  auto user = find(files, "users", "user", chosen->text("user"));
  if (!user) return std::unexpected(std::move(user).error());
  Credentials all{.server = {}, .default_namespace = chosen->text("namespace")};
  if (auto done = read_cluster(*cluster, all); !done) return std::unexpected(std::move(done).error());
  if (auto done = read_user(*user, *cluster, all); !done) return std::unexpected(std::move(done).error());
  return all;
}

}  // namespace

Result<Credentials> read_kubeconfig(const std::vector<std::string>& paths, const std::string& context) {
  std::vector<File> files;
  for (const std::string& path : paths) {
    auto text = read_file(path, kLargestSecret);
    if (!text) return std::unexpected(Error{text.error().text + " (name a kubeconfig, or set $KUBECONFIG)"});
    try {
      files.push_back({path, YAML::Load(*text)});
    } catch (const YAML::Exception& error) {
      return failure(culvert::format("{}: line {}: is no YAML", path, error.mark.line + 1));  // its words may quote a secret
    }
    if (!files.back().root.IsMap()) return failure(path + ": is no kubeconfig");
  }
  try {
    return read_files(files, context);
  } catch (const YAML::Exception& error) {
    return failure(culvert::format("{}: line {}: is not what a kubeconfig has there", paths.front(), error.mark.line + 1));
  }
}

}  // namespace culvert::kube

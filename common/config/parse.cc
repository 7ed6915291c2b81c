#include "common/config/parse.h"

#include <algorithm>
#include <array>

#include "common/config/read.h"
#include "common/config/tree.h"

namespace culvert::config {
namespace {

using Reader = Object (*)(Fields&, Metadata);

template <class T>
Object read_metadata_only(Fields& object, Metadata metadata) {
  object.skip({"spec", "status"});
  T value;
  value.metadata = std::move(metadata);
  return value;
}

Object read_service_account(Fields& object, Metadata metadata) {
  object.skip({"secrets", "imagePullSecrets", "automountServiceAccountToken"});
  ServiceAccount account;
  account.metadata = std::move(metadata);
  return account;
}

struct KindRow {
  Kind kind;
  std::string_view group;
  std::string_view versions;  // "group/version" of each that is read, comma-separated; the first is what to write
  Reader read;
};

constexpr std::string_view kSecurity = "security.istio.io";
constexpr std::array kKinds = {
    KindRow{Kind::kNamespace, "", "v1", read_metadata_only<Namespace>},
    KindRow{Kind::kNode, "", "v1", read_metadata_only<Node>},
    KindRow{Kind::kServiceAccount, "", "v1", read_service_account},
    KindRow{Kind::kPod, "", "v1", read_pod},
    KindRow{Kind::kService, "", "v1", read_service},
    KindRow{Kind::kEndpointSlice, "discovery.k8s.io", "discovery.k8s.io/v1", read_endpoint_slice},
    KindRow{Kind::kConfigMap, "", "v1", read_config_map},
    KindRow{Kind::kDeployment, "apps", "apps/v1", read_deployment},
    KindRow{Kind::kStatefulSet, "apps", "apps/v1", read_stateful_set},
    KindRow{Kind::kPeerAuthentication, kSecurity, "security.istio.io/v1,security.istio.io/v1beta1", read_peer_authentication},
    KindRow{Kind::kAuthorizationPolicy, kSecurity, "security.istio.io/v1,security.istio.io/v1beta1", read_authorization_policy},
};

bool serves(const KindRow& row, std::string_view api_version) {
  for (std::string_view rest = row.versions; !rest.empty();) {
    const std::string_view one = rest.substr(0, rest.find(','));
    if (one == api_version) return true;
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
  }
  return false;
}

const KindRow* row_of(std::string_view api_version, std::string_view kind) {
  const std::size_t slash = api_version.find('/');
  const std::string_view group = slash == std::string_view::npos ? "" : api_version.substr(0, slash);
  for (const KindRow& row : kKinds) {
    if (name(row.kind) == kind && row.group == group) return &row;
  }
  return nullptr;
}

// The text of a scalar field, "" when there is none: for naming things in messages.
std::string_view scalar(const Tree* tree, std::string_view field) {
  const Tree* value = tree ? tree->find(field) : nullptr;
  return value ? std::string_view(value->text).substr(0, 253) : "";
}

std::optional<Key> named_key(const Tree& root, Kind kind) {
  const Tree* metadata = root.find("metadata");
  const std::string_view called = scalar(metadata, "name");
  if (called.empty()) return std::nullopt;
  const std::string_view name_space = scalar(metadata, "namespace");
  Key key{kind, "", std::string(called)};
  if (is_namespaced(kind)) key.name_space = name_space.empty() ? "default" : name_space;
  return key;
}

class FileParser {
 public:
  explicit FileParser(std::string_view file) : name_(file) {}

  ParsedFile parse(std::string_view text) {
    if (text.size() > kMaxFileBytes) {
      broken({}, {Problem{{name_, 0}, "", "", "is larger than " + std::to_string(kMaxFileBytes >> 20) + " MiB", "split it"}});
      return std::move(out_);
    }
    for (Document& document : read_yaml(text)) {
      if (document.root) {
        read(*document.root);
      } else {
        Problem problem{{name_, document.error_line}, "", "", document.error, ""};
        const std::optional<Key> key = guess(document.text);
        if (key) problem.object = key->text();
        broken(key, {std::move(problem)});
      }
    }
    return std::move(out_);
  }

 private:
  void broken(std::optional<Key> key, std::vector<Problem> problems) {
    out_.broken.push_back({std::move(key), std::move(problems)});
  }

  void wrong(const Tree& tree, std::string what, std::string hint) {
    broken({}, {Problem{{name_, tree.line}, "", "", std::move(what), std::move(hint)}});
  }

  void read(const Tree& root) {
    if (root.type != Tree::Type::kMap)
      return wrong(root, "not an object: must be a map, is " + std::string(describe(root.type)), "");
    const std::string api_version(scalar(&root, "apiVersion"));
    const std::string kind(scalar(&root, "kind"));
    if (kind.empty() || api_version.empty()) {
      return wrong(root, kind.empty() ? "kind is missing" : "apiVersion is missing",
                   "every object begins with apiVersion and kind");
    }
    if (kind == "List" && api_version == "v1") return read_list(root);
    const KindRow* row = row_of(api_version, kind);
    if (!row) {
      const Tree* metadata = root.find("metadata");
      out_.ignored.push_back({{name_, root.line},
                              api_version,
                              kind,
                              std::string(scalar(metadata, "namespace")),
                              std::string(scalar(metadata, "name"))});
      return;
    }
    read_object(root, *row, api_version);
  }

  void read_list(const Tree& root) {
    const Tree* items = root.find("items");
    if (!items || items->type != Tree::Type::kList) return wrong(root, "a List without items", "");
    if (++lists_ > kMaxDepth) return wrong(root, "lists nested too deeply", "");
    for (const Tree& item : items->items) read(item);
    --lists_;
  }

  void read_object(const Tree& root, const KindRow& row, const std::string& api_version) {
    Report report{
        .file = name_, .object = std::string(name(row.kind)), .strict = is_policy(row.kind), .problems = {}, .unread = {}};
    std::optional<Key> key = named_key(root, row.kind);
    if (key) report.object = key->text();
    std::optional<Object> object;
    {
      Fields fields(report, root, "");
      fields.skip({"apiVersion", "kind"});
      if (!serves(row, api_version)) {
        fields.wrong("apiVersion", "\"" + api_version + "\" is not read",
                     "write " + std::string(row.versions.substr(0, row.versions.find(','))));
      }
      Metadata metadata = read_metadata(fields, is_namespaced(row.kind));
      object = row.read(fields, std::move(metadata));
    }
    if (!report.problems.empty()) return broken(std::move(key), std::move(report.problems));
    out_.objects.push_back({std::make_shared<const Object>(std::move(*object)), {name_, root.line}, std::move(report.unread)});
  }

  // What a document that is not YAML was meant to be, by its lines: enough to keep the last good version in force and to deny when
  // a policy was meant.
  static std::optional<Key> guess(std::string_view text);

  std::string name_;
  ParsedFile out_;
  int lists_ = 0;
};

// "  name: web  # x" -> "web", when the line is the field `field` at the indentation `indent`.
std::string_view field_of(std::string_view line, std::string_view field, std::size_t& indent) {
  indent = std::min(line.find_first_not_of(' '), line.size());
  line.remove_prefix(indent);
  if (!line.starts_with(field) || !line.substr(field.size()).starts_with(':')) return "";
  line.remove_prefix(field.size() + 1);
  const std::size_t first = line.find_first_not_of(" \t\"'");
  if (first == std::string_view::npos) return "";
  line.remove_prefix(first);
  return line.substr(0, std::min(line.find_first_of(" \t\r\"'#"), line.size()));
}

std::optional<Key> FileParser::guess(std::string_view text) {
  std::string_view kind, called, name_space;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    std::size_t indent = 0;
    if (const auto found = field_of(line, "kind", indent); !found.empty() && indent == 0 && kind.empty()) kind = found;
    if (const auto found = field_of(line, "name", indent); !found.empty() && indent > 0 && called.empty()) called = found;
    if (const auto found = field_of(line, "namespace", indent); !found.empty() && indent > 0 && name_space.empty())
      name_space = found;
  }
  for (const KindRow& row : kKinds) {
    if (name(row.kind) != kind || called.empty()) continue;
    Key key{row.kind, "", std::string(called.substr(0, 253))};
    if (is_namespaced(row.kind)) key.name_space = name_space.empty() ? "default" : name_space.substr(0, 253);
    return key;
  }
  return std::nullopt;
}

}  // namespace

ParsedFile parse_yaml(std::string_view file, std::string_view text) { return FileParser(file).parse(text); }

}  // namespace culvert::config

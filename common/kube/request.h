#pragma once
// What is asked of the API server, as values, and what its refusals mean. Pure; knows the API's conventions, not what objects mean.

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/http/message.h"

namespace culvert::kube {

// All objects of one kind.
struct Collection {
  std::string group = {};  // empty for the core: Services, Pods, ...
  std::string version = "v1";
  std::string plural = {};  // "services"

  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  std::string text() const { return group.empty() ? plural : plural + "." + group; }  // as kubectl and RBAC know it
};

// A collection, of one namespace or of all, one object of it, or a subresource of that.
struct Place {
  Collection of;
  std::string ns = {};
  std::string name = {};
  std::string subresource = {};  // "status"

  std::string path() const;  // "/api/v1/namespaces/shop/services/web/status"
  std::string text() const;  // "services shop/web", "services of namespace shop"
};

using Query = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string verb;  // as RBAC calls it: get, list, watch, create, patch, delete
  std::string method = "GET";
  Place at = {};
  std::string path = {};  // instead of `at`: what is no resource, like /version
  Query query = {};
  std::string content_type = {};
  std::string body = {};
  http::Headers headers = {};                 // more of them; Accept: instead of ours
  std::chrono::milliseconds timeout{30'000};  // until the whole answer is here; of a stream: until it begins
  bool urgent = false;                        // does not wait for other calls: the leader's lease, and what has limits of its own
  bool secret = false;    // what is sent and comes is wiped from our buffers, except what of the answer is handed on
  bool metadata = false;  // of each object no more than its metadata, as a PartialObjectMetadata
  // Asked each time that it is about to be sent, which may be long after it was asked for: false, and it fails instead. Of what a leader alone may write.
  std::function<bool()> still = {};

  std::string target() const;  // path and query, percent-encoded
  std::string text() const;    // "list services of namespace shop"
};

Request get(Place at);
Request get_path(std::string path);
Request list(Place at, Query query = {});
Request create(Place at, std::string object);
// A JSON merge patch (RFC 7386); {.subresource = "status"} for an object's status.
Request merge(Place at, std::string patch);
// Server-side apply: the fields of `object` (YAML or JSON, with apiVersion, kind and metadata.name) become ours.
struct ApplyOptions {
  std::string field_manager = "culvert";
  bool force = true;  // takes fields over that somebody else manages; without it that is a conflict (409)
};
Request apply(Place at, std::string object, const ApplyOptions& options = {});
// Replaces the object; with its resourceVersion in it only if nobody changed it meanwhile (409).
Request replace(Place at, std::string object);
Request remove(Place at);

inline constexpr int kNotFound = 404, kConflict = 409;  // what an answer may mean besides success
bool is_success(int status);
// Why the server did not do it: "list services: 403 Forbidden: services is forbidden: ... (RBAC: grant list on services to ...)".
Error refusal(const Request& request, int status, std::string_view body);

// One line of printable text, not too long: a server's words end up in a log.
std::string one_line(std::string_view text);

}  // namespace culvert::kube

#pragma once
// Objects of the API as JSON, for commands that look at many kinds. On the client's thread; the client outlives the tasks.

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/kube/client.h"

namespace culvert::cli {

inline const kube::Collection kDeployments{.group = "apps", .plural = "deployments"};

// One object; null when there is none, or the server does not know its kind.
net::Task<Result<boost::json::value>> find_object(kube::Client& client, kube::Place at);
// All objects of a collection, page by page; empty when the server does not know the kind. `metadata`: no more of each than that.
net::Task<Result<boost::json::array>> find_all(kube::Client& client, kube::Place at, kube::Query query = {},
                                               bool metadata = false);
// The same in the first of these versions that the server knows: it may have a kind in an older one alone.
net::Task<Result<boost::json::array>> find_all_in(kube::Client& client, kube::Place at, std::vector<std::string> versions,
                                                  kube::Query query = {});
// Deletes it; false when it was not there.
net::Task<Result<bool>> erase(kube::Client& client, kube::Place at);

// Whether who runs this may do that.
net::Task<Result<bool>> may(kube::Client& client, std::string verb, kube::Place at);

// What stands at a JSON pointer ("/metadata/name"): null, or empty, when nothing of that type does.
const boost::json::value* at(const boost::json::value& in, std::string_view pointer);
std::string text_at(const boost::json::value& in, std::string_view pointer);
std::int64_t number_at(const boost::json::value& in, std::string_view pointer);
bool flag_at(const boost::json::value& in, std::string_view pointer);
const boost::json::array& list_at(const boost::json::value& in, std::string_view pointer);
// A label or an annotation: names with slashes in them are no pointers.
std::string label_of(const boost::json::value& object, std::string_view name);
std::string annotation_of(const boost::json::value& object, std::string_view name);
// "shop/web-0", or the name of what has no namespace.
std::string name_of(const boost::json::value& object);

}  // namespace culvert::cli

#pragma once
// Takes out of what a report gathers what nobody else may see: passwords, tokens, private keys. Rather too much than too little. Pure.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>

namespace culvert::cli {

// Any text: logs, dumps, YAML, JSON. Private keys in PEM, also in base64; JSON Web Tokens; what follows "Bearer" and "Basic"; passwords in URLs; values of
// names that end like "password", "token", "secret", "api-key" (NAME=VALUE, "NAME": "VALUE", --NAME VALUE).
std::string without_secrets(std::string_view text);

// A Kubernetes object: what the mesh has no use for goes as well. Of pods outside of `system_namespace` what names, places and probes them is kept; nowhere
// the values of environment variables that may be secret; nowhere what kubectl noted of the object when it was applied.
void strip_object(boost::json::object& object, std::string_view kind, std::string_view system_namespace);

// A variable or field that is called so may hold a secret: "DB_PASSWORD", "api-key".
bool sounds_secret(std::string_view name);

}  // namespace culvert::cli

#pragma once
// The agent's log scopes, whose levels /logging changes one by one.

#include <string_view>

namespace culvert::agent::scope {

inline constexpr std::string_view kApp = "app";
inline constexpr std::string_view kCni = "cni";
inline constexpr std::string_view kEvents = "events";
inline constexpr std::string_view kKube = "kube";
inline constexpr std::string_view kNode = "node";
inline constexpr std::string_view kPods = "pods";
inline constexpr std::string_view kUnload = "unload";
inline constexpr std::string_view kZds = "zds";

}  // namespace culvert::agent::scope

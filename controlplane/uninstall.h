#pragma once
// culvertd --uninstall=WHAT: what Helm cannot do by deleting objects. The charts run it as Jobs (helm/cni, helm/controlplane).
//
//   agents   before anything is deleted: the node agents end while everything else still runs. An agent that is told to end and finds its
//            DaemonSet being deleted takes its pods out of the mesh first, so that no pod is captured when its ztunnel goes. Agents of nodes that
//            are not ready are named and left.
//   traces   after all is deleted: what culvertd has written itself: its lease, the webhook's registration, the roots in all namespaces and as
//            a ClusterTrustBundle, and the CA that it has made; and the Services culvertd and istiod, which Helm leaves. A user's own CA (Secret
//            `cacerts`) stays, and so does what somebody else has written under those names, and what another control plane needs that goes on.

#include "controlplane/settings.h"

namespace culvert::controlplane {

// Returns when it is done; that may take as long as agents take to end. What is gone already is none of its failures.
Status uninstall(const Settings& settings);

}  // namespace culvert::controlplane

#pragma once
// How long a thread runs before others get their turn.

namespace culvert {

// The calling thread, and all that are made from it afterwards, ask for the shortest slices that Linux grants (sched_setattr(2), 6.12; nothing changes
// before). Their share of the processors stays what it was. They are let in sooner when they wake up while others compute, and others are let in
// sooner while they compute: a program whose neighbours are the applications that wait for it wants both.
void ask_for_short_slices();

}  // namespace culvert

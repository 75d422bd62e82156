#pragma once

#include <rheinfall/adapters/huge_pages.hpp>
#include <rheinfall/core/workspace.hpp>

/// The workspace of the calling thread's stages, on huge pages. It is kept from call to call: memory that the system
/// gives anew is cleared first and faults on first touch, a tenth of what a network takes on an event. What a call
/// takes is gone at the next one on that thread.
inline rheinfall::Workspace& kept_workspace() {
    thread_local rheinfall::HugePages memory;
    thread_local rheinfall::Workspace workspace(&memory);
    workspace.clear();
    return workspace;
}

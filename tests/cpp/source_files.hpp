#pragma once

#include <filesystem>
#include <string>

/// @file
/// Files of the sources that tests read: beside the sources that the tests were built from, or, where these are gone (a
/// pack of programs on another machine, see bench/gpu.sh), below the folder in which the tests run.

inline std::string shipped_bundle(const std::string& name) {
    const bool is_built_here = std::filesystem::exists(RHEINFALL_BUNDLES);
    return (is_built_here ? RHEINFALL_BUNDLES "/" : "python/rheinfall/bundles/") + name;
}

/// The folder of quantized documents.
inline std::string corpus_folder() {
    return std::filesystem::exists(RHEINFALL_CORPUS) ? RHEINFALL_CORPUS : "tests/fuzz/corpus_network";
}

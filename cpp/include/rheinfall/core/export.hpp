#pragma once

/// Symbols are hidden unless marked: two versions of the library can live in one process.
#define RHEINFALL_API __attribute__((visibility("default")))

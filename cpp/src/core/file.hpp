#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>

namespace rheinfall::detail {

/// Bytes of a file or of memory, kept alive by whoever views them.
class Bytes {
public:
    virtual ~Bytes() = default;
    [[nodiscard]] virtual std::span<const std::byte> view() const noexcept = 0;
};

/// Maps @p path read-only; throws std::runtime_error naming the file and the reason.
std::shared_ptr<const Bytes> map_file(const std::string& path);

/// A copy of @p bytes, aligned to a cache line.
std::shared_ptr<const Bytes> copy_bytes(std::span<const std::byte> bytes);

/// Writes the parts one after the other to @p path, through a temporary file renamed at the end, so that a full disk
/// leaves no half-written file; throws std::runtime_error naming the file and the reason.
void write_file(const std::string& path, std::initializer_list<std::span<const std::byte>> parts);

}  // namespace rheinfall::detail

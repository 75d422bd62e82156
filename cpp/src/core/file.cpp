#include "core/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>

namespace rheinfall::detail {
namespace {

[[noreturn]] void fail(const std::string& path, const char* what, int error) {
    throw std::runtime_error(path + ": " + what + ": " + std::generic_category().message(error));
}

class MappedFile final : public Bytes {
public:
    MappedFile(void* data, std::size_t size) noexcept : data_(data), size_(size) {}
    ~MappedFile() override {
        if (size_ > 0) munmap(data_, size_);
    }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    [[nodiscard]] std::span<const std::byte> view() const noexcept override {
        return {static_cast<const std::byte*>(data_), size_};
    }

private:
    void* data_;
    std::size_t size_;
};

class OwnedBytes final : public Bytes {
public:
    explicit OwnedBytes(std::span<const std::byte> bytes)
        : data_(static_cast<std::byte*>(::operator new(bytes.size(), std::align_val_t{64}))), size_(bytes.size()) {
        if (size_ > 0) std::memcpy(data_, bytes.data(), size_);
    }
    ~OwnedBytes() override { ::operator delete(data_, std::align_val_t{64}); }
    OwnedBytes(const OwnedBytes&) = delete;
    OwnedBytes& operator=(const OwnedBytes&) = delete;
    [[nodiscard]] std::span<const std::byte> view() const noexcept override { return {data_, size_}; }

private:
    std::byte* data_;
    std::size_t size_;
};

/// A file descriptor that closes itself.
class Descriptor {
public:
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
};

bool write_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t n = write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return true;
}

}  // namespace

std::shared_ptr<const Bytes> map_file(const std::string& path) {
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) fail(path, "cannot open", errno);
    struct stat status{};
    if (fstat(file.get(), &status) != 0) fail(path, "cannot read its size", errno);
    if (!S_ISREG(status.st_mode)) throw std::runtime_error(path + ": expected a regular file");
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size == 0) throw std::runtime_error(path + ": the file is empty");
    void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (data == MAP_FAILED) fail(path, "cannot map into memory", errno);
    return std::make_shared<MappedFile>(data, size);
}

std::shared_ptr<const Bytes> copy_bytes(std::span<const std::byte> bytes) {
    return std::make_shared<OwnedBytes>(bytes);
}

void write_file(const std::string& path, std::initializer_list<std::span<const std::byte>> parts) {
    const std::string temporary = path + ".tmp" + std::to_string(getpid());
    {
        const Descriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
        if (file.get() < 0) fail(temporary, "cannot create", errno);
        for (const auto part : parts) {
            if (!write_all(file.get(), part)) {
                const int error = errno;
                unlink(temporary.c_str());
                fail(path, "cannot write", error);
            }
        }
        if (fsync(file.get()) != 0) {
            const int error = errno;
            unlink(temporary.c_str());
            fail(path, "cannot write", error);
        }
    }
    if (rename(temporary.c_str(), path.c_str()) != 0) {
        const int error = errno;
        unlink(temporary.c_str());
        fail(path, "cannot replace", error);
    }
}

}  // namespace rheinfall::detail
